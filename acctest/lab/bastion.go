package lab

import (
	"fmt"
	"os/exec"
	"strings"
)

// bastionName is the name of the host in front of the others.
const bastionName = "bastion"

// Bastion returns the only host from which this host's sshd can be reached, or nil if every host can reach it.
func (h *Host) Bastion() *Host {
	if h.Config.Direct || h.Config.Name == bastionName {
		return nil
	}
	for _, other := range h.lab.Hosts {
		if other.Config.Name == bastionName {
			return other
		}
	}
	return nil
}

// closeBehindBastion lets only the bastion reach the sshd of the hosts behind it. The rules are the bridge's: hosts do
// not see them, and rebuilding a host does not affect them.
func (l *Lab) closeBehindBastion() error {
	var between, fromOutside strings.Builder
	for _, h := range l.Hosts {
		bastion := h.Bastion()
		if bastion == nil {
			continue
		}
		fmt.Fprintf(&between, "iifname != %q oifname %q tcp dport %d drop\n", bastion.veth(), h.veth(), h.Config.Port)
		fmt.Fprintf(&fromOutside, "oifname %q tcp dport %d drop\n", h.veth(), h.Config.Port)
	}
	if between.Len() == 0 {
		return nil
	}
	rules := fmt.Sprintf(`table bridge bastion {
	chain forward {
		type filter hook forward priority 0
		%s
	}
	chain output {
		type filter hook output priority 0
		%s
	}
}
`, between.String(), fromOutside.String())
	command := exec.Command("ip", "netns", "exec", l.Namespace(), "nft", "-f", "-")
	command.Stdin = strings.NewReader(rules)
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("close sshd of the hosts behind the bastion: %w: %s", err, text)
	}
	return nil
}
