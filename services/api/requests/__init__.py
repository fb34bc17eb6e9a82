"""What a request says: names, ids and other values, cursors, its workspace, its address; and Dagu 2's way to say it."""
