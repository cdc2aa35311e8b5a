"""False alarms of cameras: their pictures are kept for training, whatever retention says."""

from asyncua.ua.status_codes import StatusCodes

from server.evidence import Evidence, EvidenceRegister
from server.ports import CommandError
from server.security.principal import Principal


def keep(register: EvidenceRegister, evidence: Evidence, principal: Principal, comment: str | None) -> None:
    """Keep the pictures, with who said so; blocks for the disk, raises CommandError."""
    try:
        register.report_false_alarm(evidence.id, principal.name, comment or "")
    except (KeyError, FileNotFoundError):
        raise CommandError(StatusCodes.BadNotFound, f"the pictures {evidence.id} are no longer kept") from None
    except ValueError as error:
        raise CommandError(StatusCodes.BadNotReadable, str(error)) from error
    except OSError as error:
        message = f"the pictures {evidence.id} cannot be kept: {error.strerror or error}"
        raise CommandError(StatusCodes.BadResourceUnavailable, message) from error
