package tokenserver

import "io/fs"

// ownerOf knows no owner: access lists protect files here.
func ownerOf(fs.FileInfo) (uid int, known bool) { return 0, false }

// lockFile does nothing: two servers that start at the same moment are not kept apart.
func lockFile(string) (unlock func(), err error) { return func() {}, nil }
