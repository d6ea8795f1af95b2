package disks

import "testing"

func TestMountsOfThisMachine(t *testing.T) {
	for path, want := range map[string]string{"/proc/self": "proc", "/proc": "proc", "/sys/kernel": "sysfs"} {
		if mount, err := MountOf(path); err != nil || mount.Kind != want {
			t.Errorf("%s lies on %+v, %v; want %s", path, mount, err, want)
		}
	}
}

// TestMountsThatChangeNothing holds that a directory that is bound onto itself, as systemd binds what a unit
// may write to, lies on the file system around it.
func TestMountsThatChangeNothing(t *testing.T) {
	root := Mount{"/", "ext4", "8:1", "/"}
	home := Mount{"/var", "btrfs", "8:2", "/@var"}
	for _, test := range []struct {
		m, around Mount
		want      bool
	}{
		{root, Mount{}, true},
		{root, root, false},
		{Mount{"/var/lib/etcd", "ext4", "8:1", "/var/lib/etcd"}, root, false},
		{Mount{"/var/lib/etcd", "ext4", "8:1", "/srv/etcd"}, root, true},
		{Mount{"/var/lib/etcd", "xfs", "8:17", "/"}, root, true},
		{Mount{"/var/lib/etcd", "btrfs", "8:2", "/@var/lib/etcd"}, home, false},
		{Mount{"/var/lib/etcd", "btrfs", "8:2", "/@data"}, home, true},
	} {
		if got := changesView(test.m, test.around); got != test.want {
			t.Errorf("%+v in %+v: %v", test.m, test.around, got)
		}
	}
}

func TestParseMount(t *testing.T) {
	for line, want := range map[string]Mount{
		`36 35 98:0 / /mnt/fast\040disk rw,noatime master:1 shared:2 - xfs /dev/sdb rw`: {"/mnt/fast disk", "xfs", "98:0", "/"},
		`25 30 0:23 / /sys rw - sysfs sysfs rw`:                                         {"/sys", "sysfs", "0:23", "/"},
		`31 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw`:                  {"/", "ext4", "259:2", "/"},
	} {
		if got, ok := parseMount(line); !ok || got != want {
			t.Errorf("%q reads %+v, %v", line, got, ok)
		}
	}
	if got, ok := parseMount("nonsense"); ok {
		t.Errorf("nonsense reads %+v", got)
	}
}
