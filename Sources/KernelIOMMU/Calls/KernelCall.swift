/// One ioctl: its number, the structure that it takes, how much of that it is told of, and since when it exists.
///
/// A kernel that knows less of the structure accepts it as long as what it does not know is zero, else it answers
/// E2BIG; one that knows more takes what is missing as zero.
package struct KernelCall<Structure: BitwiseCopyable>: Sendable {
    /// As in the header: "IOMMU_IOAS_MAP".
    package let name: StaticString
    /// What ioctl(2) takes.
    package let number: UInt
    /// Bytes up to the end of the last field that is used here.
    package let size: UInt32
    /// The first release with it.
    package let since: KernelVersion

    /// - Parameter last: the last field that is used here.
    init<Field>(
        _ name: StaticString, _ number: UInt, since: KernelVersion, last: KeyPath<Structure, Field>
    ) {
        self.name = name
        self.number = number
        self.since = since
        let offset = MemoryLayout<Structure>.offset(of: last) ?? 0
        size = UInt32(offset + MemoryLayout<Field>.size)
    }
}
