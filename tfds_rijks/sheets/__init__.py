"""Workbooks as spreadsheet programs show them: `read.read(path, sheet)`."""
