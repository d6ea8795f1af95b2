package provider

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// commandLine are the arguments that a process was started with; none where they cannot be known, as on systems without /proc.
func commandLine(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// destroys tells whether a command line of Terraform's is that of a destroy, or of the plan of one.
func destroys(arguments []string) bool {
	if len(arguments) == 0 {
		return false
	}
	command := slices.IndexFunc(arguments[1:], func(a string) bool { return !strings.HasPrefix(a, "-") }) + 1 // 0: there is none
	for _, argument := range arguments[1:] {
		if name, value, given := strings.Cut(strings.TrimLeft(argument, "-"), "="); strings.HasPrefix(argument, "-") && name == "destroy" && (!given || value == "true") {
			return true
		}
	}
	return command > 0 && arguments[command] == "destroy"
}
