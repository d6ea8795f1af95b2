// terraform-provider-etcd runs production etcd clusters on dedicated Linux hosts.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/etcd-on-hosts/terraform-provider-etcd/provider"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "wait for a debugger, and say how Terraform finds this process")
	flag.Parse()

	// Terraform cancels a running operation itself, and waits for it. Systems that end a job send SIGTERM
	// to all of its processes, this one among them, which must not die in the middle of a step.
	signal.Ignore(syscall.SIGTERM)

	err := providerserver.Serve(context.Background(), provider.New(version), providerserver.ServeOpts{
		Address: "registry.terraform.io/etcd-on-hosts/etcd",
		Debug:   *debug,
	})
	if err != nil {
		log.Fatal(err)
	}
}
