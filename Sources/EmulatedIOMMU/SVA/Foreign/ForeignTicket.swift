import IOMMU
import LinuxIO

/// For which address space something is asked, and on whose account.
package struct ForeignTicket: Hashable, Sendable {
    /// One number for each address space and each look into a process: what has the same is done in order.
    let key: UInt64
    /// Whose it is.
    let uid: UInt32
}

/// What there is to say of looking at many address spaces at once.
package enum ForeignProbe {
    /// Address spaces.
    static let most = 200

    /// For those of one user that can be asked without waiting for each other.
    static func ticket(of uid: UInt32) -> ForeignTicket { ForeignTicket(key: 1 << 63 | UInt64(uid), uid: uid) }
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
