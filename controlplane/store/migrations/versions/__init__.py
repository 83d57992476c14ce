"""One file a step, oldest first: ``r0001_…``. A step that was released is never edited."""
