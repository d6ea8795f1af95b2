package disks

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

// TestWhatIsSetAsideGivesWay holds that nobody finds room that a rehearsal still wants, and that it finds it itself.
func TestWhatIsSetAsideGivesWay(t *testing.T) {
	d := newDisks(t)
	mountOn(t, d, "/work", "size=1g")
	before, err := RoomAt(d.Files.Path("/work"))
	mustNotFail(t, err)
	const size = 192 << 20
	s, err := d.ReserveIn("/work", size)
	mustNotFail(t, err)
	least := func(when string, want int64) {
		t.Helper()
		now, err := RoomAt(d.Files.Path("/work"))
		if taken := before.Bytes - now.Bytes; err != nil || taken < want || taken > size+8<<20 {
			t.Errorf("%s, %d MiB are taken, and at least %d MiB are to be: %v", when, taken>>20, want>>20, err)
		}
	}
	least("at first", size)
	mustNotFail(t, os.Mkdir(d.Files.Path("/work/data"), 0o755))
	err = s.GiveWay("/work/data", func() error {
		time.Sleep(300 * time.Millisecond)
		least("when the first byte is awaited", size-giveWayAhead)
		for i := range 3 {
			mustNotFail(t, os.WriteFile(d.Files.Path(fmt.Sprintf("/work/data/%d", i)), make([]byte, 40<<20), 0o600))
			time.Sleep(300 * time.Millisecond)
			least("meanwhile", size-giveWayAhead)
		}
		return errors.New("what it says")
	})
	if err == nil || err.Error() != "what it says" {
		t.Error(err)
	}
	mustNotFail(t, s.Close())
	if _, err := d.ReserveIn("/work", before.Bytes); err == nil {
		t.Error("more is set aside than there is")
	}
}
