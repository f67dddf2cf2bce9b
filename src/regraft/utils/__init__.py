"""What any room may use: files, tables, arrays, progress, streams; nothing of networks or pictures."""
