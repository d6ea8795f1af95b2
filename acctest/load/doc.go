// Package load holds the instruments that acceptance tests measure a running cluster with: a writer that
// puts through all endpoints and logs every acknowledged revision, and a sampler of membership and health.
// What they record is a Report, and everything that is said of it (gaps, failures, losses, changes of
// membership, healthy voters) is computed from it by functions without I/O.
//
// The cluster may be reachable only from inside of a network namespace. So the instruments run as a process
// of their own: the test's own binary, started again by a command that the test gives (lab.Lab.Command, say),
// told what to do on stdin, and answering in JSON lines on stdout. It ends with its stdin, so a test that
// is killed leaves nothing behind. For this TestMain has to call Main first:
//
//	func TestMain(m *testing.M) {
//		load.Main()
//		os.Exit(m.Run())
//	}
//
// A test then reads:
//
//	run, err := load.Start(t.Context(), l.Command, load.Config{
//		Endpoints: endpoints, CACert: "ca.crt", Cert: "client.crt", Key: "client.key",
//		Rate: 300, Every: 50 * time.Millisecond, Sync: time.Second,
//	})
//	yardstick, err := run.MoveLeaders(ctx, 5) // a phase of its own
//	err = run.Mark(ctx, "replace c")
//	apply()
//	report, err := run.Stop(ctx)
//	verdict, err := report.Verify(ctx, endpoints...)
//	if err := errors.Join(verdict.Err(), report.Err()); err != nil {
//		t.Error(err)
//	}
//	phase := report.Phase("replace c")
//	if failed := phase.By[load.Balanced].Failed(); failed > 0 || phase.Writes.Gap.Length() > 2*yardstick.Worst.Length() {
//		t.Errorf("%s", report)
//	}
//
// # What is written
//
// Each put has a key of its own, so that nothing overwrites what was acknowledged: a key that is not there
// later is lost, and so is one with another value or an older revision. There are two modes, both on unless
// Config.Modes says otherwise. Balanced is one client with all endpoints, as an application has it, with
// etcdctl's keep-alive and a timeout of five seconds: what fails there an application sees fail. Each is a
// client for each endpoint, taken in turn, so that a dead endpoint is seen as such.
//
// A put that failed is Refused where it was surely not done (it was never sent, or etcd says that it refused
// it), else Unknown: it may have been done. etcd's client waits for a connection, so a dead endpoint costs
// the whole timeout.
//
// # What a gap is
//
// The longest time between the ends of two successive acknowledged puts, whichever mode they are of. A gap
// that reaches over the border of two phases counts, whole, in both; so does the time from the last
// acknowledged put to the end. Gaps cannot be seen shorter than the writers' own pace: at 300 puts a second
// in two modes 1.7 ms.
//
// # What a healthy voter is
//
// The membership is read linearizably every Config.ListEvery, by one reader that starts a read only after the last
// has ended: so successive answers are in the order of the cluster's own log, whichever member gave them. Two
// answers may differ by one change of one member: two changes within that time are taken for two at once, and a
// member that came and went within it is not seen. Between the last answer that surely was before a change and
// the first after it nothing is checked.
//
// Each member is asked for its status and for a linearizable read every Config.Every. An answer proves the
// member healthy when it was given. A member is unhealthy between two proofs, or between a proof and the
// end, that are further apart than Limits.Silent (status) or Limits.Unread (read), and then for all of the
// time between the two: so a restart that is shorter than that does not count, and two restarts that overlap
// do. A learner refuses linearizable reads; its status, with a leader known, stands for them until it is
// promoted, and whatever it answers, it is never counted as a voter. There have to be at least quorum(voters)
// healthy voters; fewer for no longer than Limits.Tolerance is taken for an artefact of the sampling. A
// cluster of one voter is let off only by Limits.Single. With Limits.Told a member that was only late, for up to
// Limits.Late, is not taken for unhealthy; nor are more of them than the quorum can spare, for however long, while
// puts were acknowledged, which takes a quorum (where others refuse meanwhile: with no gap as long as an election).
// A member that refused counts as late from the last refusal on.
// Times in which the machine's disk took nothing, as a file beside the members' shows, are no lateness of theirs. Two
// restarts that overlap refuse connections, and count as before.
package load
