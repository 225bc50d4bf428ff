/// An SMMUv3 as software and devices see it: registers, queues and translations.
///
/// It belongs to one thread; its owner serialises register accesses and transactions.
public final class SMMU<Memory: PhysicalMemory> {
    /// The ID registers; they govern all behaviour.
    public let identification: Identification
    /// Interrupts, stalls, ATS and PRI go there.
    public weak var delegate: (any SMMUDelegate)?
    var memory: Memory

    /// A device out of reset.
    ///
    /// - Parameters:
    ///   - memory: the physical address space.
    ///   - identification: the ID registers.
    ///   - geometry: cache sizes.
    /// - Throws: what the model cannot honour, naming the field.
    public init(
        memory: Memory, identification: Identification, geometry: CacheGeometry = .standard
    ) throws(IdentificationError) {
        self.memory = memory
        self.identification = identification
    }
}

/// A register access that no bus would carry.
public enum MMIOError: Error, Equatable, Sendable {
    /// Only 4 and 8 bytes; 8 only at a 64-bit register.
    case badWidth
    /// Not a multiple of the width.
    case misaligned
    /// Beyond page 1.
    case outOfRange
}
