// Writes golden.json: trees, proofs, tiles and signed notes, made by Go's golang.org/x/mod/sumdb/{tlog,note} and
// github.com/transparency-dev/formats/note, which know nothing of the Python that they judge.
//
// Run: go run . > ../golden.json   (keys come from fixed seeds; only the cosignature's time differs between runs)
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "log.example/pki/log"
const largest = 66000

type proofCase struct {
	Index int64    `json:"index,omitempty"`
	Old   int64    `json:"old_size,omitempty"`
	Size  int64    `json:"size"`
	Proof []string `json:"proof"`
}

type tree struct {
	stored []tlog.Hash
}

func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = t.stored[at]
	}
	return out, nil
}

// entry is SHA-256 over the index in eight octets.
func entry(n int64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	sum := sha256.Sum256(b[:])
	return sum[:]
}

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return v
}

func hexes(hashes []tlog.Hash) []string {
	out := []string{}
	for _, h := range hashes {
		out = append(out, hex.EncodeToString(h[:]))
	}
	return out
}

func tileSums(size int64, t *tree) map[string]string {
	sums := map[string]string{}
	for _, tile := range tlog.NewTiles(8, 0, size) {
		data := must(tlog.ReadTileData(tile, t))
		sum := sha256.Sum256(data)
		sums[strings.TrimPrefix(tile.Path(), "tile/8/")] = hex.EncodeToString(sum[:])
	}
	return sums
}

func skey(name string, kind byte, seed byte) (string, string) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	public := append([]byte{1}, private.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	id := hex.EncodeToString(sum[:4])
	secret := append([]byte{1}, private.Seed()...)
	return "PRIVATE+KEY+" + name + "+" + id + "+" + base64.StdEncoding.EncodeToString(secret),
		name + "+" + id + "+" + base64.StdEncoding.EncodeToString(public)
}

func main() {
	t := &tree{}
	roots := map[string]string{}
	wanted := map[int64]bool{}
	for _, n := range []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 255, 256, 257, 300, 511, 512, 513, 1000, 65535, 65536, 65537, largest} {
		wanted[n] = true
	}
	for n := int64(0); n < largest; n++ {
		t.stored = append(t.stored, must(tlog.StoredHashes(n, entry(n), t))...)
		if wanted[n+1] {
			root := must(tlog.TreeHash(n+1, t))
			roots[fmt.Sprint(n+1)] = hex.EncodeToString(root[:])
		}
	}
	inclusion, consistency := []proofCase{}, []proofCase{}
	for _, size := range []int64{1, 2, 3, 7, 8, 9, 257, 1000, largest} {
		for _, index := range []int64{0, 1, 2, 6, 7, 255, 256, 999, 65535, 65999} {
			if index < size {
				p := must(tlog.ProveRecord(size, index, t))
				inclusion = append(inclusion, proofCase{Index: index, Size: size, Proof: hexes(p)})
			}
		}
		for _, old := range []int64{1, 2, 3, 4, 6, 7, 8, 255, 256, 257, 999, 65536} {
			if old < size {
				p := must(tlog.ProveTree(size, old, t))
				consistency = append(consistency, proofCase{Old: old, Size: size, Proof: hexes(p)})
			}
		}
	}
	logSecret, logPublic := skey(origin, 1, 7)
	witnessSecret, witnessPublic := skey("witness.example/w1", 1, 9)
	root := must(tlog.TreeHash(300, t))
	text := fmt.Sprintf("%s\n300\n%s\n", origin, base64.StdEncoding.EncodeToString(root[:]))
	signed := must(note.Sign(&note.Note{Text: text}, must(note.NewSigner(logSecret)), must(fnote.NewSignerForCosignatureV1(witnessSecret))))
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	_ = encoder.Encode(map[string]any{
		"entries":     "entry n is SHA-256 over n as eight octets, big-endian",
		"roots":       roots,
		"inclusion":   inclusion,
		"consistency": consistency,
		"tiles":       map[string]any{"300": tileSums(300, t), fmt.Sprint(largest): tileSums(largest, t)},
		"note": map[string]string{
			"note":        string(signed),
			"log_key":     logPublic,
			"witness_key": must(fnote.VKeyToCosignatureV1(witnessPublic)),
		},
	})
}
