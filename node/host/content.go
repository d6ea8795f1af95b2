package host

import (
	"bufio"
	"encoding/json"
	"io"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// contentFrame is how much content follows one line: enough to make the lines cheap, and little for both ends to hold
// in memory.
const contentFrame = 256 << 10

// newContent returns a writer for the content of an answer. Flush writes the rest of it, before the line that ends the
// answer.
func newContent(stdout io.Writer) *bufio.Writer {
	return bufio.NewWriterSize(frames{stdout}, contentFrame)
}

// frames writes each piece of content after a line that announces it.
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
