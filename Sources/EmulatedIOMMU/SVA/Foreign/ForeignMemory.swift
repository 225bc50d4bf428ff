import IOMMU
import LinuxIO

/// Memory of other processes, as those on the owning thread see it: they ask, and hear later.
///
/// A page of another process can take for ever to come, and so can every look at its address space. Whoever stands
/// behind this does the waiting elsewhere. All completions are called once, on the owning thread.
package protocol ForeignMemory: AnyObject {
    /// Looks into a process.
    ///
    /// - Parameter ticket: who asks; see ``forget(_:)``.
    /// - Throws: what is plain at once: `EPERM`, `ESRCH`, `EINVAL`, `EDQUOT`.
    func open(
        _ process: consuming NamedProcess, for ticket: ForeignTicket,
        completion: @escaping (Result<OpenedProcess, IOMMUError>) -> Void
    ) throws(IOMMUError)

    /// kcmp(KCMP_VM) of one process with others: what it says of each, 0 for the same address space.
    func compare(
        _ pid: Int32, with others: [Int32], for ticket: ForeignTicket,
        completion: @escaping (Result<[Int32], IOMMUError>) -> Void)

    /// Makes a page present the way a CPU's access would, and says in what area it lies.
    func touch(
        _ address: UInt64, write: Bool, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<ProcessArea, ForeignFailure>) -> Void)

    /// Moves one piece, of at most ``DeviceAccess/pieceLength`` bytes.
    ///
    /// - Parameter previous: the checksum of the pieces before.
    func move(
        _ piece: DeviceOperation, previous: UInt32?, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<MovedData, ForeignFailure>) -> Void
    ) -> any DataTransfer

    /// Looks whether a process still uses the address space, if that cannot be asked without waiting.
    ///
    /// - Returns: false if it can be asked: ``ProcessMemory/isAlive``; nothing is called then.
    func probe(
        _ memory: ProcessMemory, for ticket: ForeignTicket, completion: @escaping (Bool) -> Void
    ) -> Bool

    /// Why nothing more can be asked at the moment: `EBUSY` for an address space that does not answer, `EDQUOT` for a
    /// user who has too many of those; nil if it can.
    func refusal(for ticket: ForeignTicket) -> IOMMUError?

    /// Nobody wants to hear of this address space any more; nothing that was asked for it is completed.
    func forget(_ ticket: ForeignTicket)
}

/// For which address space something is asked, and on whose account.
package struct ForeignTicket: Hashable, Sendable {
    /// One number for each address space and each look into a process: what has the same is done in order.
    let key: UInt64
    /// Whose it is.
    let uid: UInt32
}

/// What came of something that was asked of a process's memory.
package enum ForeignFailure: Error {
    /// The process says so.
    case memory(ProcessMemory.Failure)
    /// It was not asked, or nobody hears what it says.
    case refused(IOMMUError)
}

/// What a piece brought.
package struct MovedData: Sendable {
    /// What was read.
    var bytes: [UInt8] = []
    /// Of everything so far; only of a checksum.
    var checksum: UInt32?
}

/// What a client names a process by.
package enum NamedProcess: ~Copyable {
    case pid(Int32, ClientIdentity)
    case pidfd(Descriptor, ClientIdentity)
    /// Its own `mem` and `maps`.
    case files(mem: Descriptor, maps: Descriptor)

    /// Asks the kernel for permission.
    consuming func candidate(_ files: any ProcessFiles) throws(IOMMUError) -> ProcessCandidate {
        switch consume self {
        case .pid(let pid, let client): try ProcessCandidate(pid: pid, by: client, files: files)
        case .pidfd(let pidfd, let client): try ProcessCandidate(pidfd: pidfd, by: client, files: files)
        case .files(let mem, let maps): try ProcessCandidate(mem: mem, maps: maps, files: files)
        }
    }
}
