import IOMMU

/// Keeps files beyond the end of the daemon, and finds them again by their numbers.
package protocol FileKeeping: AnyObject {
    /// Has files kept.
    ///
    /// - Parameters:
    ///   - descriptors: to use until the answer is there.
    ///   - uid: on whose account.
    ///   - anew: each is opened once more, so that several can be kept of one open file. Not for files of which every
    ///     open one is another.
    /// - Returns: the number of the first, the others follow; 0 where nothing keeps files. Later: once they are kept.
    /// - Throws: `EDQUOT`, `EIO`; so may what comes later.
    func keep(_ descriptors: [Int32], of uid: UInt32, anew: Bool) throws(IOMMUError) -> Answer<UInt64>
    /// They need not be kept any more, once the journal says so.
    func drop(_ file: UInt64, count: Int, of uid: UInt32)
    /// Calls `body` once nobody has any more what was dropped so far; soon in any case.
    func whenDropped(_ body: @escaping () -> Void)
    /// One more session has an address space of a process, whose files are kept once for all of them.
    func keep(space: UInt64, _ descriptors: [Int32], of uid: UInt32) throws(IOMMUError) -> Answer<UInt64>
    /// One session less has it.
    func drop(space: UInt64)
    /// A file that was kept goes on being kept.
    func restored(file: UInt64, of uid: UInt32)
    /// The files of an address space that one more session has go on being kept; 0: nobody keeps them.
    func restored(space: UInt64, file: UInt64, of uid: UInt32)
    /// Of the first file of an address space; 0: none.
    func file(ofSpace space: UInt64) -> UInt64
}
