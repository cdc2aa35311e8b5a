"""What an emergency stop gives a machine: variables that show its latch, and the two commands."""

from address_space.declarations import (
    Argument,
    BuiltinType,
    CommandDeclaration,
    EmergencyStopDeclaration,
    Feed,
    VariableDeclaration,
)

LATCH = (
    VariableDeclaration("EmergencyStopActive", BuiltinType.Boolean, "The emergency stop is latched", Feed.SERVER),
    VariableDeclaration("EmergencyStopReason", BuiltinType.String, "Why it was stopped: the first cause", Feed.SERVER),
    VariableDeclaration("EmergencyStopBy", BuiltinType.String, "Who stopped it first", Feed.SERVER),
    VariableDeclaration("EmergencyStopOrigin", BuiltinType.String, "From where it was stopped first", Feed.SERVER),
    VariableDeclaration("EmergencyStopTime", BuiltinType.DateTime, "When it was stopped first", Feed.SERVER),
)
"""What every machine with an emergency stop shows of its latch."""


def stop_commands(stop: EmergencyStopDeclaration) -> tuple[CommandDeclaration, CommandDeclaration]:
    """Return the command that stops and the one that resets."""
    reason = Argument("Reason", BuiltinType.String, "Why it is stopped; kept with the first cause")
    confirmation = Argument(
        "Confirmation",
        BuiltinType.String,
        "Empty to ask for a reset; then the code that this gave, to confirm it",
    )
    code = Argument("Confirmation", BuiltinType.String, "The code that confirms the reset; empty once it is done")
    return (
        CommandDeclaration("EmergencyStop", "Stop now and stay stopped until reset", stop.role, (reason,)),
        CommandDeclaration(
            "ResetEmergencyStop",
            "Release the emergency stop, in two calls: ask, then confirm",
            stop.reset_role,
            (confirmation,),
            (code,),
        ),
    )
