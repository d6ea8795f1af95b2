// The store is the program on hosts: one static binary with etcd in it, which acts for the provider.
//
// Linked as etcd, etcdctl or etcdutl it is that program of upstream's, unchanged. As store it answers the provider's
// calls and runs the members of the clusters that the host carries.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/agree"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "etcd":
		etcdmain.Main(os.Args)
	case "etcdctl":
		ctlv3.MustStart()
	case "etcdutl":
		etcdutlMain()
	default:
		os.Exit(store(os.Args[1:]))
	}
}

// These are the exit statuses of the store's own commands. A guard that refuses exits with api.GuardStatus.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitAgain  = 75 // EX_TEMPFAIL of sysexits.h: systemd starts the member again
)

const usage = `store: runs etcd members on this host, on behalf of terraform-provider-etcd

  store call             answer one request, JSON on stdin, with JSON on stdout
  store run CLUSTER      run the member of a cluster, by the flags in /etc/etcd/CLUSTER/flags
  store agree            what "store call" starts as the user etcd, to have a survivor's log count as agreed on
  store record CLUSTER   record how far that member has come, once it has ended
  store guard CLUSTER    say whether that member may be started; changes nothing
  store backup CLUSTER   back the cluster up, if no other member does this run; --now: whoever has done it
  store rehearse CLUSTER restore its newest backup beside the live member, and compare; --now likewise
  store reach CLUSTER    find out which of the directories that its runs write to answer, for the sandbox of the next
  store renew CLUSTER    renew those certificates of its member that are due, by its signing server; --now: all of them
  store firewall CLUSTER lay down who may reach its member, as the last apply has said
  store tidy CLUSTER     remove what a rehearsal that was killed has left
  store version [--json] print what this binary is
  store help             print this

Linked as etcd, etcdctl or etcdutl it is that program.
`

// store carries out one of the store's own commands and returns the exit status.
func store(args []string) int {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch {
	case command == "call" && len(args) == 0:
		return answerCall()
	case command == "run" && len(args) == 1:
		return runMember(args[0])
	case command == agree.Command && len(args) == 0:
		return runAgree()
	case command == "record" && len(args) == 1:
		return record(args[0])
	case command == "guard" && len(args) == 1:
		status, _ := guard(args[0])
		return status
	case command == "backup" && (len(args) == 1 || len(args) == 2 && args[1] == "--now"):
		return backUp(args[0], len(args) == 2)
	case command == "rehearse" && (len(args) == 1 || len(args) == 2 && args[1] == "--now"):
		return rehearse(args[0], len(args) == 2)
	case command == "renew" && (len(args) == 1 || len(args) == 2 && args[1] == "--now"):
		return renew(args[0], len(args) == 2)
	case command == "firewall" && len(args) == 1:
		return layDown(args[0])
	case command == "reach" && len(args) == 1:
		return reach(args[0])
	case command == "tidy" && len(args) == 1:
		return cleanUp(args[0])
	case command == "version" && len(args) == 0:
		fmt.Print(thisBuild())
		return exitDone
	case command == "version" && len(args) == 1 && args[0] == "--json":
		return printJSON(thisBuild())
	case command == "help" || command == "--help" || command == "-h":
		fmt.Print(usage)
		return exitDone
	}
	if command != "" && !strings.Contains(usage, "  store "+command+" ") {
		fmt.Fprintf(os.Stderr, "store: this program has no command %q: where a unit calls it, a newer version of terraform-provider-etcd has written that, and the next apply by this one puts its own in its place\n\n", command)
	}
	fmt.Fprint(os.Stderr, usage)
	return exitUsage
}
