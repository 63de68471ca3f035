package ledger

// CountByRole adds to counts how many holders of each role there are whose names are known.
func (l *Ledger) CountByRole(counts map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.holders {
		counts[h.Role]++
	}
}
