package main

import (
	"debug/elf"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// forgetProgram has the kernel forget which pages of the program this process has used. They stay in memory as long as
// anybody needs them, and come back when they are used: without a look at the disk, as a rule. Most of what is resident of
// an idle daemon are such pages, of which the start needed most.
func forgetProgram() {
	for _, s := range constantSegments() {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(s.Vaddr), uintptr(s.Memsz), unix.MADV_DONTNEED) // or it stays resident
	}
}

// residentBytes is how much of this process is in memory; 0 if that can't be told.
func residentBytes() int64 {
	data, err := os.ReadFile("/proc/self/statm") // total and resident pages, and more (proc(5))
	var total, resident int64
	if _, parsed := fmt.Sscan(string(data), &total, &resident); err != nil || parsed != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// constantSegments are the parts of the program that nobody writes, not even the dynamic linker; none if they do not lie
// where the file says. Their addresses begin with pages.
func constantSegments() []elf.ProgHeader {
	file, err := elf.Open("/proc/self/exe")
	if err != nil {
		return nil
	}
	defer file.Close()
	if file.Type != elf.ET_EXEC {
		return nil
	}
	page := uint64(os.Getpagesize())
	var constant []elf.ProgHeader
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_W == 0 && p.Vaddr%page == 0 {
			constant = append(constant, p.ProgHeader)
		}
	}
	return constant
}
