package ssh

import "strings"

// Quote renders arguments as one line for a POSIX shell, which reads back exactly these arguments:
// no character in them means anything to it. An empty argument stays one.
func Quote(argv ...string) string {
	words := make([]string, len(argv))
	for i, arg := range argv {
		words[i] = quoteWord(arg)
	}
	return strings.Join(words, " ")
}

// plain are the characters that mean nothing to a shell wherever in a word they stand. '=' and '~'
// are left out: A=b before a command is an assignment, and ~ is somebody's home.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+"

func quoteWord(arg string) string {
	if arg != "" && strings.Trim(arg, plain) == "" {
		return arg
	}
	// Nothing is special between single quotes but their end, so a quote is put outside of them.
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
