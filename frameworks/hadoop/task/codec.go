package task

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/ulikunitz/xz"
)

// CodecOf tells by the end of its name how a file is compressed: .gz, .bz2, .zst or .xz.
func CodecOf(name string) taskpb.Codec {
	switch path.Ext(name) {
	case ".gz":
		return taskpb.Codec_CODEC_GZIP
	case ".bz2":
		return taskpb.Codec_CODEC_BZIP2
	case ".zst":
		return taskpb.Codec_CODEC_ZSTD
	case ".xz":
		return taskpb.Codec_CODEC_XZ
	}
	return taskpb.Codec_CODEC_NONE
}

// CanBeCut says whether several maps can read a file so compressed, each a piece.
func CanBeCut(codec taskpb.Codec) bool {
	return codec == taskpb.Codec_CODEC_NONE || codec == taskpb.Codec_CODEC_BZIP2
}

// maxZstdWindow bounds, in bytes, what unpacking may take of a task's memory, whatever the file asks for.
const maxZstdWindow = 64 << 20

// unpacker gives what a compressed file unpacks to: all its streams, one after the other. close frees what it holds.
func unpacker(codec taskpb.Codec, r io.Reader) (unpacked io.Reader, closeIt func(), err error) {
	closeIt = func() {}
	switch codec {
	case taskpb.Codec_CODEC_GZIP:
		unpacked, err = gzip.NewReader(r)
	case taskpb.Codec_CODEC_BZIP2:
		unpacked = bzip2.NewReader(r)
	case taskpb.Codec_CODEC_XZ:
		unpacked, err = xz.NewReader(r)
	case taskpb.Codec_CODEC_ZSTD:
		var d *zstd.Decoder
		if d, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow)); err == nil {
			unpacked, closeIt = d, d.Close
		}
	default:
		err = fmt.Errorf("codec %d is not known", codec)
	}
	return unpacked, closeIt, err
}

// unpacked is chunk for a compressed file: it is one chunk.
func (s *splitWriter) unpacked(f inputFile, c *taskpb.Chunk) error {
	packed := io.LimitReader(f, c.GetFileSize())
	r, closeIt, err := unpacker(c.GetCodec(), packed)
	if err != nil {
		return fmt.Errorf("unpack input file %s: %w", f.Name(), noEOF(err))
	}
	defer closeIt()
	s.bytes += c.GetFileSize()
	last := byte('\n')
	for {
		if len(s.buf) == cap(s.buf) {
			if err := s.flush(); err != nil {
				return err
			}
		}
		n, err := r.Read(s.buf[len(s.buf):cap(s.buf)])
		block := s.buf[len(s.buf) : len(s.buf)+n]
		s.buf = s.buf[:len(s.buf)+n]
		s.lines += int64(bytes.Count(block, newline))
		if n > 0 {
			last = block[n-1]
		}
		if err == io.EOF {
			return s.finishLine(last)
		}
		if err != nil {
			return fmt.Errorf("unpack input file %s: %w", f.Name(), err)
		}
	}
}

// noEOF makes an end of file that came too early say so.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
