import CLinux
import Glibc
import IOMMU
import KernelIOMMU

/// All that a ``FakeKernel`` has: open files and what is in them.
struct FakeState {
    /// An object of an iommufd.
    enum Object {
        case ioas(FakeIOAS)
        case hwpt(FakeHWPT)
        case device(Int32)
        case fault(peer: Int32)
        case viommu(hwpt: UInt32)
        case vdevice(viommu: UInt32, device: UInt32)
        case veventq(viommu: UInt32, peer: Int32)
        /// Of a vdevice whose device has gone.
        case tombstone
    }

    struct FakeIOAS {
        var mappings: [(start: UInt64, last: UInt64, writable: Bool)] = []
        var allowed: [AddressRange] = []
        var hugePages: UInt64 = 1
    }

    struct FakeHWPT {
        var ioas: UInt32
        var flags: UInt32
        var isAutomatic: Bool
        var fault: UInt32?
        var viommu: UInt32?
        var dirty: Set<UInt64> = []
    }

    struct Context {
        let peer: Int32
        var objects: [UInt32: Object] = [:]
        var cookies: Set<UInt32> = []

        mutating func insert(_ object: Object) -> UInt32 {
            var id: UInt32 = 1
            while objects[id] != nil { id += 1 }
            objects[id] = object
            return id
        }
    }

    struct File {
        let peer: Int32
        var device: FakeDevice?
        /// The iommufd that it is bound to, and its id there.
        var bound: (context: Int32, id: UInt32)?
        /// By PASID, 0 without one.
        var attachments: [UInt32: UInt32] = [:]
    }

    let release: KernelVersion
    var devices: [FakeDevice]
    var contexts: [Int32: Context] = [:]
    /// Open vfio nodes.
    var files: [Int32: File] = [:]
    var failures: [UInt: (errno: Int32, skip: Int)] = [:]
    /// The next unmap gets so far and then stops.
    var unmapsLeft: Int?
    /// Paths that cannot be opened.
    var closed: [String: Int32] = [:]
    var log: [UInt] = []
    var lastCookie: UInt32 = 0

    init(release: KernelVersion, devices: [FakeDevice]) {
        self.release = release
        self.devices = devices
    }

    // MARK: Files

    mutating func open(_ path: String, _ number: Int32, peer: Int32) -> Int32 {
        collect()
        if let errno = closed[path] { return errno }
        if path == KernelBackend.node {
            contexts[number] = Context(peer: peer)
            return 0
        }
        guard let device = devices.first(where: { $0.path == path }) else { return ENOENT }
        files[number] = File(peer: peer, device: device)
        return 0
    }

    /// Notices what has been closed.
    mutating func collect() {
        for (number, file) in files where Self.isClosed(file.peer) {
            release(file)
            files[number] = nil
            close(file.peer)
        }
        for (number, context) in contexts where Self.isClosed(context.peer) {
            contexts[number] = nil
            close(context.peer)
        }
    }

    private mutating func release(_ file: File) {
        guard let bound = file.bound else { return }
        for hwpt in file.attachments.values { drop(hwpt, of: bound.context, besides: file.peer) }
        contexts[bound.context]?.objects[bound.id] = nil
        for (id, object) in contexts[bound.context]?.objects ?? [:] {
            if case .vdevice(_, bound.id) = object { contexts[bound.context]?.objects[id] = .tombstone }
        }
    }

    /// An automatic hwpt goes with its last device.
    mutating func drop(_ hwpt: UInt32, of context: Int32, besides peer: Int32?) {
        guard case .hwpt(let table)? = contexts[context]?.objects[hwpt], table.isAutomatic else { return }
        let isUsed = files.values.contains {
            $0.peer != peer && $0.bound?.context == context && $0.attachments.values.contains(hwpt)
        }
        if !isUsed { contexts[context]?.objects[hwpt] = nil }
    }

    static func isClosed(_ peer: Int32) -> Bool {
        var entry = pollfd(fd: peer, events: 0, revents: 0)
        return poll(&entry, 1, 0) == 1 && entry.revents & Int16(POLLHUP) != 0
    }

    // MARK: Calls

    mutating func control(_ descriptor: Int32, _ number: UInt, _ argument: UnsafeMutableRawPointer) -> Int32 {
        collect()
        log.append(number)
        if let failure = failures[number] {
            if failure.skip == 0 {
                failures[number] = nil
                return failure.errno
            }
            failures[number] = (failure.errno, failure.skip - 1)
        }
        if files[descriptor] != nil { return controlDevice(descriptor, number, argument) }
        guard contexts[descriptor] != nil else { return EBADF }
        guard let since = Self.introduced[number],
            since.minor + 100 * since.major <= release.minor + 100 * release.major
        else { return ENOTTY }
        return controlIOMMUFD(descriptor, number, argument)
    }

    private static let introduced: [UInt: KernelVersion] = [
        0x3b80: .init(6, 2), 0x3b81: .init(6, 2), 0x3b82: .init(6, 2), 0x3b83: .init(6, 2), 0x3b84: .init(6, 2),
        0x3b85: .init(6, 2), 0x3b86: .init(6, 2), 0x3b87: .init(6, 2), 0x3b89: .init(6, 6), 0x3b8a: .init(6, 6),
        0x3b8b: .init(6, 7), 0x3b8c: .init(6, 7), 0x3b8d: .init(6, 8), 0x3b8e: .init(6, 11), 0x3b8f: .init(6, 13),
        0x3b90: .init(6, 13), 0x3b91: .init(6, 13), 0x3b92: .init(6, 14), 0x3b93: .init(6, 15),
    ]

    /// The structure at `argument`, changed by `body`.
    static func with<Structure>(
        _ argument: UnsafeMutableRawPointer, _ type: Structure.Type, _ body: (inout Structure) -> Int32
    ) -> Int32 {
        body(&argument.assumingMemoryBound(to: Structure.self).pointee)
    }
}
