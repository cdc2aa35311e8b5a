"""German words of the page; those of the plant are in translations of its file."""

from collections.abc import Mapping

PHRASES: Mapping[str, str] = {
    "overview": "Übersicht", "scene": "3D-Ansicht", "trends": "Kurven", "alarms": "Alarme", "gallery": "Bilder",
    "tree": "Baum", "audit": "Protokoll", "certificates": "Zertifikate", "login": "Anmelden", "logout": "Abmelden",
    "skip": "Zum Inhalt", "menu": "Menü", "theme": "Hell oder dunkel", "language": "English",
    "user": "Benutzer", "password": "Passwort", "login_failed": "Benutzer oder Passwort ist falsch.",
    "login_throttled": "Zu viele Versuche. Warten Sie eine Minute.", "login_unreachable": "Der Server antwortet nicht.",
    "welcome": "Anmelden, um die Anlage zu sehen", "safety": "Ein Informationssystem, keine Sicherheitsfunktion: der "
    "Not-Halt, der Menschen schützt, ist verdrahtet.",
    "live": "live", "connecting": "verbindet", "lost": "KEINE VERBINDUNG", "lost_since": "Keine Verbindung seit {0}: "
    "was zu sehen ist, ist alt.", "no_value": "kein Wert", "ago": "vor {0}", "old": "alt",
    "no_alarms": "Keine Alarme", "standing": "{0} anstehend", "unacknowledged": "{0} unquittiert",
    "estop": "Not-Halt", "estop_title": "Im Notfall anhalten", "estop_what": "Was anhalten",
    "estop_all": "die ganze Anlage", "estop_reason": "Grund", "estop_default": "Von der Bedienseite angehalten",
    "estop_confirm": "Jetzt anhalten", "cancel": "Abbrechen", "close": "Schließen", "estop_done": "{0} ist angehalten.",
    "stopped_short": "NOT-HALT", "latched": "Not-Halt ist verriegelt: {0}", "latch_cause": "{0} – {1}, {2}, {3}",
    "reset": "Entriegeln …", "reset_title": "Not-Halt von {0} entriegeln",
    "reset_first": "Erste Ursache: {0}. Sie muss behoben sein, und niemand darf in Gefahr sein.",
    "reset_ask": "Freigabe anfragen", "reset_sure": "Der Server stimmt zu. {0} jetzt freigeben? Es bleibt stehen, bis "
    "es gestartet wird.", "reset_confirm": "Jetzt freigeben", "reset_done": "{0} ist freigegeben.",
    "mimic_label": "Übersichtsschaltbild von {name}", "open_machine": "{name}: öffnen",
    "variable": "Variable", "value": "Wert", "range": "Bereich", "quality": "Qualität", "time": "Zeit",
    "source_time": "Zeit der Quelle", "commands": "Befehle", "setpoints": "Sollwerte", "measured": "Messwerte",
    "nameplate": "Typenschild", "write": "Schreiben", "done": "Erledigt", "not_allowed": "Braucht die Rolle {0}",
    "run_command": "{0} ausführen?", "more": "Mehr", "server": "Server", "machines": "Maschinen", "machine": "Maschine",
    "conditions": "Alarme",
    "trend_of": "Kurve", "hour": "Stunde", "day": "Tag", "week": "Woche", "add_variable": "Variable hinzufügen",
    "remove": "{0} entfernen",
    "zoom_hint": "Rad oder zwei Finger vergrößern, Ziehen verschiebt, Doppelklick geht zurück. Tastatur: + und −, "
    "Pfeile.", "no_history": "Der Server führt kein Archiv.", "as_table": "Als Tabelle", "mean": "Mittel", "least":
    "kleinster", "most": "größter", "from": "von", "to": "bis", "follow": "Mitlaufen",
    "too_many": "Höchstens {0} auf einmal.",
    "priority": "Priorität", "state": "Zustand", "source": "Quelle", "alarm": "Alarm", "message": "Meldung",
    "actions": "Aktionen", "acknowledge": "Quittieren", "confirm": "Bestätigen", "comment": "Kommentieren",
    "shelve": "Zurückstellen", "unshelve": "Zurückholen", "one_shot": "bis er vorbei ist", "minutes": "{0} min",
    "hours": "{0} h", "active": "steht an", "inactive": "vorbei", "unacked": "unquittiert",
    "unconfirmed": "unbestätigt", "shelved": "zurückgestellt", "suppressed": "unterdrückt",
    "disabled": "abgeschaltet",
    "earlier": "früher",
    "out_of_service": "außer Betrieb",
    "alarm_keys": "Tasten: ↑ ↓ wählen, A quittieren, C bestätigen, M kommentieren, S zurückstellen, O mehr.",
    "remark": "Kommentar (freiwillig)", "suppress": "Unterdrücken",
    "suppress_about": "Er erscheint nicht mehr unter dem, was Aufmerksamkeit verlangt, bis "
    "die Unterdrückung endet.", "unsuppress": "Nicht mehr unterdrücken", "remove_from_service": "Außer Betrieb nehmen",
    "remove_from_service_about": "Zur Wartung: er erscheint nicht unter dem, was Aufmerksamkeit verlangt, bis er "
    "wieder in Betrieb ist.", "place_in_service": "Wieder in Betrieb", "silence": "Hupe aus", "enable": "Einschalten",
    "disable": "Abschalten", "disable_about": "Er wird nicht mehr ausgewertet und meldet nichts, bis er eingeschaltet "
    "wird.", "limits": "Grenzen ändern", "high_high": "Oberste Grenze", "high": "Obere Grenze", "low": "Untere Grenze",
    "low_low": "Unterste Grenze", "of_plant_file": "Anlagendatei: {0}", "report_false_alarm": "Fehlalarm melden",
    "report_false_alarm_about": "Seine Bilder werden zum Lernen aufgehoben.",
    "show_all": "Alle Bedingungen", "only_current": "Nur aktuelle", "ack_all": "Alles Gezeigte quittieren",
    "nothing_standing": "Nichts verlangt Ihre Aufmerksamkeit.", "since": "seit",
    "no_snapshots": "Noch keine Bilder: ein Bildalarm nimmt eines auf.", "boxes": "mit Rahmen", "clean": "ohne Rahmen",
    "confidence": "Sicherheit", "model": "Modell", "camera": "Kamera", "rule": "Regel", "latency": "Laufzeit",
    "search": "Suchen", "attributes": "Attribute", "references": "Referenzen",
    "choose_node": "Wählen Sie einen Knoten.", "nothing_found": "Nichts gefunden.",
    "more_found": "Es gibt mehr: suchen Sie nach mehr von dem Namen.",
    "who": "Wer", "from_where": "Von wo", "action": "Aktion", "arguments": "Argumente", "result": "Ergebnis",
    "kind": "Art", "older": "Ältere", "filter": "Filtern", "no_rights": "Diese Seite braucht die Rolle {0}.",
    "subject": "Inhaber", "application": "Anwendung", "thumbprint": "Fingerabdruck (SHA-1)", "valid": "Gültig bis",
    "reason": "Warum abgelehnt", "trust": "Vertrauen", "trusted": "Vertrauenswürdig",
    "waiting": "Wartet auf Vertrauen",
    "nobody_waits": "Keine Anwendung wartet auf Vertrauen.", "trust_sure": "{0} vertrauen? Sie darf sich von da an "
    "verbinden.",
    "trust_revoke": "Vertrauen entziehen", "last_seen": "Zuletzt gesehen",
    "scene_label": "Die Anlage in drei Dimensionen; ziehen dreht, das Rad vergrößert, Pfeiltasten drehen",
    "no_webgl": "Dieser Browser zeigt kein 3D (WebGL ist aus); die Liste sagt dasselbe.",
    "not_found": "Diese Seite gibt es nicht.",
    "not_found_about": "Vielleicht war es eine Maschine einer anderen Anlage.",
    "no_data": "keine Daten", "loading": "lädt …", "failed": "Nicht gelungen: {0}", "yes": "ja", "no": "nein",
}  # fmt: skip
