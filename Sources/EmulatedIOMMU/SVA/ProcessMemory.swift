import CLinux
import Glibc

/// A piece of a process's address space with one set of permissions.
struct ProcessArea: Sendable, Equatable {
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
final class ProcessMemory: Sendable {
    enum Failure: Error, Equatable {
        /// The address space has ended.
        case gone
        /// No area permits the access at this address.
        case denied(UInt64)
        /// An area permits it, and the page cannot be had all the same.
        case unreachable(UInt64)
    }

    private let mem: Int32
    private let maps: Int32
    /// Which file `mem` is; the kernel does not use the number again as long as it is open.
    struct FileIdentity: Sendable, Equatable {
        let device: UInt64
        let inode: UInt64
    }

    let identity: FileIdentity?
    /// The `mem` file was opened for writing.
    let isWritable: Bool
    /// The kernel answers PROCMAP_QUERY.
    let hasQuery: Bool

    /// Takes ownership of both descriptors.
    init(mem: Int32, maps: Int32, parsesMaps: Bool = false) {
        self.mem = mem
        self.maps = maps
        isWritable = fcntl(mem, F_GETFL) & O_ACCMODE == O_RDWR
        var status = stat()
        identity = fstat(mem, &status) == 0
            ? FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)) : nil
        var area = clinux_vma()
        hasQuery = !parsesMaps && clinux_query_vma(maps, 0, true, &area, nil, 0) != Glibc.ENOTTY
    }

    deinit {
        close(mem)
        close(maps)
    }

    /// Whether any process still uses the address space.
    var isAlive: Bool {
        if isWritable { return clinux_probe_mm(mem) == 1 }
        // Nothing is mapped at 0: an error while it lives, the end of the file afterwards.
        var byte: UInt8 = 0
        return pread(mem, &byte, 1, 0) != 0
    }

    // MARK: Areas

    /// The area at an address, or nil if there is none.
    func area(at address: UInt64) throws(Failure) -> ProcessArea? {
        guard hasQuery else { return try MapsFile(descriptor: maps).area(at: address, orNext: false) }
        var area = clinux_vma()
        switch clinux_query_vma(maps, address, false, &area, nil, 0) {
        case 0:
            return ProcessArea(start: area.start, end: area.end, isReadable: area.readable, isWritable: area.writable)
        case Glibc.ENOENT: return nil
        case Glibc.ESRCH: throw .gone
        default: throw isAlive ? .unreachable(address) : .gone
        }
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
        while done < buffer.count, let start = buffer.baseAddress {
            let count = pread(mem, start + done, buffer.count - done, off_t(bitPattern: address &+ UInt64(done)))
            if count > 0 { done += count } else if count == 0 || Glibc.errno != EINTR { throw ending(address, done) }
        }
    }

    /// Writes without looking at permissions.
    func write(_ address: UInt64, from buffer: UnsafeRawBufferPointer) throws(Failure) {
        var done = 0
        while done < buffer.count, let start = buffer.baseAddress {
            let count = pwrite(mem, start + done, buffer.count - done, off_t(bitPattern: address &+ UInt64(done)))
            if count > 0 { done += count } else if count == 0 || Glibc.errno != EINTR { throw ending(address, done) }
        }
    }

    private func ending(_ address: UInt64, _ done: Int) -> Failure {
        isAlive ? .unreachable(address &+ UInt64(done)) : .gone
    }

    // MARK: Marks

    /// Where the kernel put what it places at random in each program: tells one program image from the next.
    func layout() -> ProcessLayout {
        (try? MapsFile(descriptor: maps).layout()) ?? ProcessLayout()
    }
}

extension off_t {
    /// Addresses of the upper half are negative offsets, which procfs takes as they are.
    fileprivate init(bitPattern address: UInt64) { self = off_t(Int64(bitPattern: address)) }
}
