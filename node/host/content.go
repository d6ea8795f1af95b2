package host

import (
	"bufio"
	"encoding/json"
	"io"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// contentFrame is how much content goes behind one line: enough that lines cost nothing, and little for both
// ends to hold.
const contentFrame = 256 << 10

// newContent is where an operation writes the content of its answer. Flush brings the rest of it out, before the
// line that ends the answer.
func newContent(stdout io.Writer) *bufio.Writer {
	return bufio.NewWriterSize(frames{stdout}, contentFrame)
}

// frames writes each piece of content behind a line that announces it.
type frames struct{ stdout io.Writer }

func (f frames) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		piece := p[:min(len(p), contentFrame)]
		if err := json.NewEncoder(f.stdout).Encode(api.Line{Content: len(piece)}); err != nil {
			return written, err
		}
		n, err := f.stdout.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		p = p[len(piece):]
	}
	return written, nil
}
