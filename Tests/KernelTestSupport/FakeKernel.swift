import CLinux
import Glibc
import IOMMU
import KernelIOMMU
import LinuxIO
import Synchronization

/// A kernel with iommufd and vfio in this process: a second implementation of what Linux documents, for tests.
///
/// Descriptors are one end of a socket pair; that the other end hangs up tells it that somebody has closed one.
package final class FakeKernel: KernelCalls {
    /// What it knows, for one call at a time.
    private let state: Mutex<FakeState>
    private let gates = Mutex<[UInt: Int32]>([:])
    /// What ends the process in the middle of its calls; nil: nothing does.
    private let fate = Mutex<Fate?>(nil)

    private struct Fate {
        var callsLeft: Int
        let isMade: Bool
        let onDeath: @Sendable () -> Void
        var isDead = false
    }

    /// A kernel of this release with devices at `/dev/vfio/devices/NAME`.
    package init(release: KernelVersion = KernelVersion(7, 2), devices: [FakeDevice] = []) {
        state = Mutex(FakeState(release: release, devices: devices))
    }

    package func open(_ path: String) throws(SystemError) -> Descriptor {
        let ends = try Self.pair(path)
        let errno = state.withLock { $0.open(path, Self.file(ends.0), peer: ends.1) }
        let descriptor = Descriptor(adopting: ends.0)
        guard errno == 0 else {
            close(ends.1)
            throw SystemError(errno: errno, "open \(path)")
        }
        return descriptor
    }

    /// Both ends of what stands for an open file.
    static func pair(_ purpose: String) throws(SystemError) -> (Int32, Int32) {
        var ends: [Int32] = [0, 0]
        let kind = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw .current("open \(purpose)") }
        return (ends[0], ends[1])
    }

    package func control(_ descriptor: Int32, _ number: UInt, _ argument: UnsafeMutableRawPointer) -> Int32 {
        if let gate = gates.withLock({ $0[number] }) {
            var count: eventfd_t = 0
            _ = eventfd_read(gate, &count)
        }
        let isDead = fate.withLock { $0?.isDead ?? false }
        guard !isDead else { return EIO }
        let isLast = fate.withLock { fate in
            fate?.callsLeft -= 1
            return fate.map { $0.callsLeft < 0 } ?? false
        }
        guard isLast, let end = fate.withLock({ $0 }) else {
            return state.withLock { $0.control(Self.file(descriptor), number, argument) }
        }
        // What it comes to, whether it is made or not: that is what may be there afterwards.
        let errno = state.withLock { state in
            var copy = state
            let errno = copy.control(Self.file(descriptor), number, argument)
            if end.isMade { state = copy }
            return errno
        }
        fate.withLock { $0?.isDead = true }
        end.onDeath()
        return errno
    }

    /// What an open file is known by, whatever descriptors of it there are.
    static func file(_ descriptor: Int32) -> Int32 {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? Int32(truncatingIfNeeded: status.st_ino & 0x3fff_ffff) : -1
    }

    // MARK: What a test does to it

    /// The process that calls it ends at one of the next calls, which is made or not; those after it come nowhere.
    package func die(after calls: Int, isMade: Bool, _ onDeath: @escaping @Sendable () -> Void) {
        fate.withLock { $0 = Fate(callsLeft: calls, isMade: isMade, onDeath: onDeath) }
    }

    /// The process that calls it has ended: no call comes anywhere any more.
    package func die() {
        fate.withLock { $0 = Fate(callsLeft: 0, isMade: false, onDeath: {}, isDead: true) }
    }

    /// Another process calls it from now on; nobody ends it.
    package func revive() { fate.withLock { $0 = nil } }

    /// What is in each iommufd, in words: objects, mappings and attachments.
    package var contents: [String] {
        state.withLock { state in
            state.collect()
            return state.contexts.keys.map { state.description(of: $0) }.sorted()
        }
    }

    /// Calls of this number wait until ``release(_:count:)`` lets them go on, for ever.
    package func hold(_ number: UInt) {
        gates.withLock { $0[number] = eventfd(0, Int32(EFD_CLOEXEC | EFD_SEMAPHORE)) }
    }

    /// Lets so many held calls go on, now or when they come.
    package func release(_ number: UInt, count: UInt64 = 1) {
        if let gate = gates.withLock({ $0[number] }) { eventfd_write(gate, count) }
    }

    /// Opening this path fails from now on; nil: no longer.
    package func failOpening(_ path: String, with errno: Int32?) { state.withLock { $0.closed[path] = errno } }

    /// The next call of this number that comes after `skip` others fails with this errno.
    package func fail(_ number: UInt, with errno: Int32, after skip: Int = 0) {
        state.withLock { $0.failures[number] = (errno, skip) }
    }

    /// The next unmap ends with EBUSY after so many mappings.
    package func stopUnmapping(after count: Int) { state.withLock { $0.unmapsLeft = count } }

    /// Names of the calls made, in order: "MAP_FILE", "DESTROY".
    package var log: [UInt] { state.withLock { $0.log } }

    /// How many iommufds are open.
    package var contextCount: Int {
        state.withLock { state in
            state.collect()
            return state.contexts.count
        }
    }

    /// Whether the device is attached to nothing.
    package func isBlocked(_ path: String) -> Bool {
        state.withLock { state in
            state.collect()
            return state.files.values.allSatisfy { $0.device?.path != path || $0.attachments.isEmpty }
        }
    }

    /// A page fault of a device on an hwpt with a fault queue; false if it has none.
    @discardableResult
    package func fault(_ path: String, address: UInt64, pasid: UInt32? = nil, last: Bool = true) -> Bool {
        state.withLock { $0.fault(path, address: address, pasid: pasid, last: last) }
    }

    /// An event of a virtual machine; nil record: some were lost.
    package func event(_ path: String, _ record: [UInt64]?, sequence: UInt32) -> Bool {
        state.withLock { $0.event(path, record, sequence: sequence) }
    }

    /// What has been answered, in order.
    package var responses: [(cookie: UInt32, code: UInt32)] { state.withLock { $0.takeResponses() } }

    /// A device has written there.
    package func dirty(_ path: String, iova: UInt64) { state.withLock { $0.dirty(path, iova: iova) } }
}

/// A device of a ``FakeKernel``.
package struct FakeDevice: Sendable {
    /// "/dev/vfio/devices/vfio0"
    package var path: String
    package var group: UInt32
    package var pasidBits: UInt8 = 0
    package var reserved: [AddressRange] = []
    /// Its driver emulates it: it is attached to an IOAS itself.
    package var isEmulated = false
    /// A sibling has a native driver: EPERM.
    package var isViable = true

    package init(_ path: String, group: UInt32) { (self.path, self.group) = (path, group) }
}
