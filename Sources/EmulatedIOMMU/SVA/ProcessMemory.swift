import Glibc
import LinuxIO

/// A piece of a process's address space with one set of permissions.
package struct ProcessArea: Sendable, Equatable {
    let start: UInt64
    /// Exclusive.
    let end: UInt64
    let isReadable: Bool
    let isWritable: Bool
}

/// An address space of a process, held by its open `mem` and `maps` files.
///
/// The kernel keeps the mm as long as `mem` is open: after exit or exec every access fails, and a recycled pid is never
/// confused. `mem` ignores the permissions of VMAs, so each access is checked against `maps` first. Any thread may use
/// it; calls other than ``isAlive`` can block for as long as the process's pages take to come.
package final class ProcessMemory: Sendable {
    /// Why bytes of a process cannot be had.
    package enum Failure: Error, Equatable {
        /// The address space has ended.
        case gone
        /// No area permits the access at this address.
        case denied(UInt64)
        /// An area permits it, and the page cannot be had all the same.
        case unreachable(UInt64)
    }

    /// What is known of the two files for as long as they are open.
    struct Facts: Sendable, Equatable {
        /// Which file `mem` is: another one for every process, as long as it is open.
        var identity: ProcessFileFacts.Identity?
        /// The `mem` file was opened for writing.
        var isWritable: Bool
        /// The kernel answers PROCMAP_QUERY.
        var hasQuery: Bool
    }

    private let mem: Descriptor
    private let maps: Descriptor
    private let files: any ProcessFiles
    let facts: Facts
    /// The kernel said what the files are.
    let isKnown: Bool
    var identity: ProcessFileFacts.Identity? { facts.identity }
    var isWritable: Bool { facts.isWritable }
    var hasQuery: Bool { facts.hasQuery }

    init(
        mem: consuming Descriptor, maps: consuming Descriptor, files: any ProcessFiles = KernelProcessFiles(),
        parsesMaps: Bool = false
    ) {
        let (memNumber, mapsNumber) = (mem.number, maps.number)
        self.mem = mem
        self.maps = maps
        self.files = files
        let mode = files.accessMode(ofDescriptor: memNumber)
        let identity = files.facts(ofDescriptor: memNumber)?.identity
        facts = Facts(
            identity: identity, isWritable: mode == O_RDWR,
            hasQuery: !parsesMaps && files.area(maps: mapsNumber, at: 0).errno != Glibc.ENOTTY)
        isKnown = mode != nil && identity != nil
    }

    /// Of files that somebody has looked at: asks nothing.
    init(
        mem: consuming Descriptor, maps: consuming Descriptor, _ facts: Facts,
        files: any ProcessFiles = KernelProcessFiles()
    ) {
        self.mem = mem
        self.maps = maps
        (self.files, self.facts, isKnown) = (files, facts, true)
    }

    /// `mem` and `maps`, to use while it lives.
    var descriptors: [Int32] { [mem.number, maps.number] }
    var memDescriptor: Int32 { mem.number }

    /// Whether any process still uses the address space.
    var isAlive: Bool { Self.isAlive(mem.number, isWritable: isWritable, files) }

    /// As ``isAlive``, of a `mem` file alone.
    static func isAlive(_ mem: Int32, isWritable: Bool, _ files: any ProcessFiles) -> Bool {
        if isWritable { return files.probe(mem: mem) != 0 }
        // Nothing is mapped at 0: an error while it lives, the end of the file afterwards.
        var byte: UInt8 = 0
        return withUnsafeMutableBytes(of: &byte) { files.read(mem, at: 0, into: $0) } != 0
    }

    /// Whether both files are those of the process that has this number now. As long as they are open no other process
    /// gets the same files, so that the number meant it all along.
    func belongs(to pid: Int32) -> Bool {
        guard let identity, let own = files.facts("/proc/\(pid)/mem")?.identity, own == identity,
            let maps = files.facts(ofDescriptor: maps.number)?.identity
        else { return false }
        return files.facts("/proc/\(pid)/maps")?.identity == maps
    }

    // MARK: Areas

    /// The area at an address, or nil if there is none.
    func area(at address: UInt64) throws(Failure) -> ProcessArea? {
        guard hasQuery else {
            return try MapsFile(descriptor: maps.number, files: files).area(at: address, orNext: false)
        }
        let answer = files.area(maps: maps.number, at: address)
        switch answer.errno {
        case 0: return answer.area
        case Glibc.ENOENT: return nil
        case Glibc.ESRCH: throw .gone
        default: throw isAlive ? .unreachable(address) : .gone
        }
    }

    /// The first that can be read without touching a file, whose pages may never come.
    func firstReadableArea() throws(Failure) -> ProcessArea? {
        var found: ProcessArea?
        try MapsFile(descriptor: maps.number, files: files).forEach { area, name in
            if area.isReadable, MapsFile.isAnonymous(name) { found = area }
            return found == nil
        }
        return found
    }

    /// Each in order, by the text of `maps`, until `body` returns false.
    func forEachArea(_ body: (ProcessArea) -> Bool) throws(Failure) {
        try MapsFile(descriptor: maps.number, files: files).forEach { area, _ in body(area) }
    }

    /// Every byte of the range permits the access, as far as `maps` says now.
    func check(_ address: UInt64, length: UInt64, write: Bool) throws(Failure) {
        guard !write || isWritable else { throw .denied(address) }
        var next = address
        while next &- address < length {
            guard let area = try area(at: next), write ? area.isWritable : area.isReadable else {
                // Without areas at all the address space may simply be gone.
                throw isAlive ? .denied(next) : .gone
            }
            next = area.end
        }
    }

    // MARK: Bytes

    /// Reads without looking at permissions.
    func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = files.read(mem.number, at: address &+ UInt64(done), into: rest)
            if count > 0 { done += count } else if count != -Int(Glibc.EINTR) { throw ending(address, done) }
        }
    }

    /// Writes without looking at permissions.
    func write(_ address: UInt64, from buffer: UnsafeRawBufferPointer) throws(Failure) {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeRawBufferPointer(rebasing: buffer[done...])
            let count = files.write(mem.number, at: address &+ UInt64(done), from: rest)
            if count > 0 { done += count } else if count != -Int(Glibc.EINTR) { throw ending(address, done) }
        }
    }

    private func ending(_ address: UInt64, _ done: Int) -> Failure {
        isAlive ? .unreachable(address &+ UInt64(done)) : .gone
    }

    // MARK: Marks

    /// Where the kernel put what it places at random in each program, and what it put there: tells one program image
    /// from the next, also without address space randomisation.
    func layout() throws(Failure) -> ProcessLayout {
        var layout = try MapsFile(descriptor: maps.number, files: files).layout()
        layout.seed = try seed(layout)
        return layout
    }

    /// The auxiliary vector lies at the end of the stack, below arguments and environment.
    private func seed(_ layout: ProcessLayout) throws(Failure) -> Int {
        guard layout.vdso != 0, layout.stackEnd != 0, let stack = try area(at: layout.stackEnd &- 1), stack.isReadable
        else { return 0 }
        for searched in Self.searched {
            let start = max(stack.start, layout.stackEnd &- min(layout.stackEnd, searched)) & ~7
            var words = [UInt64](repeating: 0, count: Int((layout.stackEnd &- start) / 8))
            try read(start, words: &words)
            // It is the process that says where they are: nothing but its stack is read for its sake.
            guard let address = Self.randomBytes(in: words, vdso: layout.vdso), address >= stack.start,
                address < stack.end, stack.end &- address >= 16
            else { continue }
            var random: [UInt64] = [0, 0]
            try read(address, words: &random)
            // The same in whatever process it is asked: no Hasher.
            return Int(truncatingIfNeeded: random[0] ^ (random[1] &* 0x9e37_79b9_7f4a_7c15))
        }
        return 0
    }

    /// What AT_RANDOM says, if the vector is there.
    private static func randomBytes(in words: [UInt64], vdso: UInt64) -> UInt64? {
        guard let vector = words.indices.dropLast().last(where: { words[$0] == auxVDSO && words[$0 + 1] == vdso })
        else { return nil }
        for index in stride(from: vector, to: min(vector + 128, words.count - 1), by: 2) {
            if words[index] == auxRandom { return words[index + 1] }
            if words[index] == 0 { return nil }
        }
        return nil
    }

    private func read(_ address: UInt64, words: inout [UInt64]) throws(Failure) {
        var failure: Failure?
        words.withUnsafeMutableBytes { buffer in
            do throws(Failure) { try read(address, into: buffer) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Bytes of arguments and environment behind which the vector is looked for.
    private static let searched: [UInt64] = [16 << 10, 256 << 10]
    /// AT_SYSINFO_EHDR, AT_RANDOM
    private static let (auxVDSO, auxRandom): (UInt64, UInt64) = (33, 25)
}
