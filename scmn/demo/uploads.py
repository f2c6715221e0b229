"""Files that the browser sends."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from nicegui.elements.upload_files import FileUpload

from scmn.demo.footage import Upload


async def receive(files: Sequence[FileUpload], folder: Path) -> list[Upload]:
    """Save files in a folder under our own names; the user's are only shown."""
    uploads = []
    for file in files:
        path = folder / f"upload-{uuid.uuid4().hex}"
        await file.save(path)
        uploads.append(Upload(path, file.name))
    return uploads
