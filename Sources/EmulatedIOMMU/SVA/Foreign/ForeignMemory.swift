import IOMMU

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

    /// Whether the process has areas with certain rights at every byte of a range. Nothing is touched.
    ///
    /// - Parameters:
    ///   - length: bytes, at least 1; the range does not wrap.
    ///   - completion: hears of the first byte where it is not so: `unreachable` without an area, else `denied`.
    func check(
        _ address: UInt64, length: UInt64, _ access: Access, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<Void, ForeignFailure>) -> Void)

    /// Moves one piece, of at most ``DeviceAccess/pieceLength`` bytes.
    ///
    /// - Parameter previous: the checksum of the pieces before.
    func move(
        _ piece: DeviceOperation, previous: UInt32?, in memory: ProcessMemory, for ticket: ForeignTicket,
        completion: @escaping (Result<MovedData, ForeignFailure>) -> Void
    ) -> any DataTransfer

    /// ``ProcessMemory/isAlive`` may be asked on the owning thread. Where processes may be hostile it may not: whoever
    /// is the last to look at an address space that ends has to take it apart, and to wait for its files.
    var probesAtOnce: Bool { get }

    /// Looks whether address spaces still have users.
    ///
    /// - Parameters:
    ///   - memories: at most ``ForeignProbe/most``, all writable or none.
    ///   - completion: for each of them; one that cannot be asked is taken to live.
    func probe(_ memories: [ProcessMemory], for ticket: ForeignTicket, completion: @escaping ([Bool]) -> Void)

    /// Why nothing more can be asked at the moment: `EBUSY` for an address space that does not answer, `EDQUOT` for a
    /// user who has too many of those; nil if it can.
    func refusal(for ticket: ForeignTicket) -> IOMMUError?

    /// Nobody wants to hear of this address space any more; nothing that was asked for it is completed.
    func forget(_ ticket: ForeignTicket)
}
