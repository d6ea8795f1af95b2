package ssh_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

func ExampleQuote() {
	fmt.Println(ssh.Quote("echo", "it's", "", "$HOME", "a b", "plain/path-1.0"))
	// Output: echo 'it'\''s' '' '$HOME' 'a b' plain/path-1.0
}

// The shell decides.
func TestQuotedArgumentsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		argv := rapid.SliceOfN(rapid.OneOf(
			rapid.StringOf(rapid.RuneFrom([]rune(`ab '"\$`+"`"+`*?[]{}()<>|&;#~!=%^-,:/`+"\n\t\r"))),
			rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 })),
		), 1, 5).Draw(t, "argv")
		got, err := exec.Command("/bin/sh", "-c", `printf '%s\0' `+ssh.Quote(argv...)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if back := strings.Split(strings.TrimSuffix(string(got), "\x00"), "\x00"); !slices.Equal(back, argv) {
			t.Errorf("%q came back as %q", argv, back)
		}
	})
}
