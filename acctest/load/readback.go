package load

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	readTimeout  = 20 * time.Second
	readPage     = 2000
	readValuesTo = 4096 // bytes; of larger values the keys alone are read
)

// readBack tells every key of the run, as each endpoint reads it linearizably.
func (i *instrument) readBack(ctx context.Context) {
	d := done{Order: "stop"}
	for _, endpoint := range i.Config.Endpoints {
		if err := i.readThrough(ctx, endpoint); err != nil {
			d.Error = fmt.Sprintf("read back through %s: %v", endpoint, err)
			break
		}
	}
	d.At = i.now()
	i.answers <- answer{Done: &d}
}

func (i *instrument) readThrough(ctx context.Context, endpoint string) error {
	client, err := application(i.tls, 0, endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	from, end := keys(i.task), clientv3.GetPrefixRangeEnd(keys(i.task))
	options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(readPage)}
	if i.Config.ValueBytes > readValuesTo {
		options = append(options, clientv3.WithKeysOnly())
	}
	for {
		asking, cancel := context.WithTimeout(ctx, readTimeout)
		page, err := client.Get(asking, from, options...)
		cancel()
		if err != nil {
			return err
		}
		for _, kv := range page.Kvs {
			sequence, err := strconv.Atoi(strings.TrimPrefix(string(kv.Key), keys(i.task)))
			if err != nil {
				return fmt.Errorf("a key that nobody put: %q", kv.Key)
			}
			intact := i.Config.ValueBytes > readValuesTo || string(kv.Value) == value(i.ID, sequence, i.Config.ValueBytes)
			i.answers <- answer{Entry: &entry{endpoint, sequence, kv.ModRevision, kv.Version, intact}}
			from = string(kv.Key) + "\x00"
		}
		if !page.More {
			return nil
		}
	}
}
