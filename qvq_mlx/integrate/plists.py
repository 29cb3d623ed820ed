"""Builds the property lists of a Quick Action and of a shortcut around a shell script.

Both formats are undocumented; these are the keys that public generators write and macOS takes:
Automator's `Run Shell Script.action` in a workflow of the services menu, files as arguments
(https://github.com/search?q=com.apple.Automator.servicesMenu&type=code), and Shortcuts'
`is.workflow.actions.runshellscript`
(https://github.com/search?q=is.workflow.actions.runshellscript&type=code). NSServices is documented
(https://developer.apple.com/library/archive/documentation/General/Reference/InfoPlistKeyReference).
"""

from __future__ import annotations

import plistlib
from uuid import NAMESPACE_URL, uuid5

IDENTIFIER = "qvq.ask-about-pictures"
TITLE = "Ask qvq"
_FINDER = "com.apple.finder"
_ACTION = "/System/Library/Automator/Run Shell Script.action"
_AS_ARGUMENTS = 1
_LIST = {"Container": "List", "Optional": True, "Types": ["com.apple.cocoa.string"]}


def service_info() -> bytes:
    """Return the Info.plist that puts the Quick Action into the Finder's menu for pictures."""
    service = {
        "NSMenuItem": {"default": TITLE},
        "NSMessage": "runWorkflowAsService",
        "NSRequiredContext": {"NSApplicationIdentifier": _FINDER},
        "NSSendFileTypes": ["public.image", "com.adobe.pdf"],
    }
    info = {
        "CFBundleIdentifier": IDENTIFIER,
        "CFBundleName": TITLE,
        "CFBundleShortVersionString": "1.0",
        "NSServices": [service],
    }
    return plistlib.dumps(info)


def workflow(script: str) -> bytes:
    """Return the document.wflow of a Quick Action that runs `script` with the files."""
    action = {
        "AMAccepts": _LIST,
        "AMActionVersion": "2.0.3",
        "AMApplication": ["Automator"],
        "AMProvides": {"Container": "List", "Types": ["com.apple.cocoa.string"]},
        "ActionBundlePath": _ACTION,
        "ActionName": "Run Shell Script",
        "ActionParameters": {
            "COMMAND_STRING": script,
            "CheckedForUserDefaultShell": True,
            "inputMethod": _AS_ARGUMENTS,
            "shell": "/bin/sh",
            "source": "",
        },
        "BundleIdentifier": "com.apple.RunShellScript",
        "CFBundleVersion": "2.0.3",
        "CanShowSelectedItemsWhenRun": False,
        "CanShowWhenRun": True,
        "Category": ["AMCategoryUtilities"],
        "Class Name": "RunShellScriptAction",
        **{key: _uuid(key) for key in ("InputUUID", "OutputUUID", "UUID")},
    }
    kind = "com.apple.Automator.fileSystemObject"
    meta = {
        "serviceApplicationBundleID": _FINDER,
        "serviceInputTypeIdentifier": kind,
        "serviceOutputTypeIdentifier": "com.apple.Automator.nothing",
        "serviceProcessesInput": 0,
        "workflowTypeIdentifier": "com.apple.Automator.servicesMenu",
    }
    document = {
        "AMApplicationBuild": "512",
        "AMApplicationVersion": "2.10",
        "AMDocumentVersion": "2",
        "actions": [{"action": action, "isViewVisible": 1}],
        "connectors": {},
        "workflowMetaData": meta,
    }
    return plistlib.dumps(document)


def shortcut(script: str) -> bytes:
    """Return an unsigned shortcut that runs `script` with its input; macOS has to sign it."""
    action = {
        "WFWorkflowActionIdentifier": "is.workflow.actions.runshellscript",
        "WFWorkflowActionParameters": {
            "UUID": _uuid("shortcut"),
            "Script": script,
            "Shell": "/bin/sh",
            "InputMode": "as arguments",
            "Input": {
                "Value": {"Type": "ExtensionInput"},
                "WFSerializationType": "WFTextTokenAttachment",
            },
        },
    }
    found = {
        "WFQuickActionSurfaces": [],
        "WFWorkflowActions": [action],
        "WFWorkflowClientVersion": "2605.0.5",
        "WFWorkflowHasOutputFallback": False,
        "WFWorkflowHasShortcutInputVariables": True,
        "WFWorkflowIcon": {
            "WFWorkflowIconGlyphNumber": 59511,
            "WFWorkflowIconStartColor": 4282601983,
        },
        "WFWorkflowImportQuestions": [],
        "WFWorkflowInputContentItemClasses": [
            "WFImageContentItem",
            "WFPDFContentItem",
            "WFGenericFileContentItem",
        ],
        "WFWorkflowMinimumClientVersion": 900,
        "WFWorkflowMinimumClientVersionString": "900",
        "WFWorkflowName": TITLE,
        "WFWorkflowOutputContentItemClasses": ["WFStringContentItem"],
        "WFWorkflowTypes": ["ActionExtension"],
    }
    return plistlib.dumps(found, fmt=plistlib.FMT_BINARY)


def is_ours(info: bytes) -> bool:
    """True for the Info.plist of a Quick Action that was made here. Never raises."""
    try:
        found = plistlib.loads(info)
    except Exception:  # plistlib raises what its parsers raise
        return False
    return isinstance(found, dict) and found.get("CFBundleIdentifier") == IDENTIFIER


def _uuid(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{IDENTIFIER}/{name}")).upper()
