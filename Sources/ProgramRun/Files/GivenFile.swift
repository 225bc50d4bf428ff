import CLinux
import Glibc
import LinuxIO

/// What stands behind a descriptor that the program was given.
protocol GivenFile: AnyObject {
    /// An ioctl of iommufd or vfio. - Returns: what the call returns.
    func control(_ call: ControlCall) throws(Refusal) -> Int64
    /// pread(2) at an offset that no file of the program's own has.
    func read(_ memory: ThreadMemory, offset: UInt64, into address: UInt64, count: UInt64) throws(Refusal) -> Int64
    /// pwrite(2) there.
    func write(_ memory: ThreadMemory, offset: UInt64, from address: UInt64, count: UInt64) throws(Refusal) -> Int64
    /// The program has closed the last descriptor of it, and unmapped what it has mapped.
    func closed()
}

extension GivenFile {
    func read(_ memory: ThreadMemory, offset: UInt64, into address: UInt64, count: UInt64) throws(Refusal) -> Int64 {
        throw Refusal(EINVAL)
    }

    func write(_ memory: ThreadMemory, offset: UInt64, from address: UInt64, count: UInt64) throws(Refusal) -> Int64 {
        throw Refusal(EINVAL)
    }
}

/// One ioctl that is to be carried out.
struct ControlCall {
    let memory: ThreadMemory
    let command: UInt32
    let address: UInt64

    /// The number within its type.
    var number: UInt32 { command & 0xff }
}

/// The descriptors that the program has from us. Each is a file of its own in memory: the program may poll and map it,
/// pass it on and copy it as any other, and its inode tells what it is. When its last copy is closed the kernel says
/// so.
final class GivenFiles {
    /// A file, however many descriptors it has.
    struct Identity: Hashable {
        let device: UInt64
        let inode: UInt64

        /// Of an open file; nil if there is none.
        init?(_ descriptor: Int32) {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { return nil }
            (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
        }
    }

    private struct Entry {
        let file: any GivenFile
        let watch: Int32
    }

    /// Readable when the program has closed some.
    let watcher: Descriptor
    private var entries: [Identity: Entry] = [:]
    private var watches: [Int32: Identity] = [:]

    init() throws(SystemError) {
        let number = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
        guard number >= 0 else { throw .current("inotify_init1") }
        watcher = Descriptor(adopting: number)
    }

    /// A new file with an open descriptor of it, to be given to the program and closed here.
    ///
    /// - Parameter size: bytes that the program may map.
    func make(
        _ name: String, size: UInt64, _ file: (borrowing Descriptor) throws(Refusal) -> any GivenFile
    ) throws(Refusal) -> Descriptor {
        let number = clinux_memfd_create(name, false)
        guard number >= 0 else { throw Refusal(-number) }
        let memory = Descriptor(adopting: number)
        let path = "/proc/self/fd/\(memory.number)"
        guard ftruncate(memory.number, off_t(size)) == 0, let identity = Identity(memory.number) else {
            throw Refusal(ENOMEM)
        }
        // One of its own: as long as ours is open, too, nobody would hear of the last.
        let given = open(path, O_RDWR | O_CLOEXEC)
        guard given >= 0 else { throw Refusal(EMFILE) }
        let descriptor = Descriptor(adopting: given)
        let made = try file(memory)
        // The end of ours is not to be heard.
        _ = consume memory
        let watch = inotify_add_watch(
            watcher.number, "/proc/self/fd/\(descriptor.number)", UInt32(IN_CLOSE_WRITE))
        guard watch >= 0 else {
            made.closed()
            throw Refusal(ENOSPC)
        }
        entries[identity] = Entry(file: made, watch: watch)
        watches[watch] = identity
        return descriptor
    }

    /// What a descriptor of ours stands for; nil: it is a stranger.
    subscript(descriptor: Int32) -> (any GivenFile)? { Identity(descriptor).flatMap { entries[$0]?.file } }

    /// Ends what has been closed.
    func takeClosed() {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            while let base = buffer.baseAddress {
                let count = Glibc.read(watcher.number, base, buffer.count)
                guard count > 0 else { return }
                var offset = 0
                while offset + MemoryLayout<inotify_event>.size <= count {
                    let event = buffer.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
                    offset += MemoryLayout<inotify_event>.size + Int(event.len)
                    end(watch: event.wd)
                }
            }
        }
    }

    private func end(watch: Int32) {
        guard let identity = watches.removeValue(forKey: watch) else { return }
        inotify_rm_watch(watcher.number, watch)
        entries.removeValue(forKey: identity)?.file.closed()
    }

    /// The program has ended.
    func endAll() {
        for watch in watches.keys.sorted() { end(watch: watch) }
    }
}
