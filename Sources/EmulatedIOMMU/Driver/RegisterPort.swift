import SMMUv3

/// The register half of the narrow door to the device; the other half is memory.
///
/// Two closures keep the driver free of the memory type that the model is generic over, and the model's register
/// accesses specialised.
struct RegisterPort {
    /// Byte offset; a 32-bit register.
    let read: (UInt32) -> UInt32
    /// Byte offset, width in bytes, value.
    let write: (UInt32, Int, UInt64) -> Void

    init<Memory: PhysicalMemory>(_ smmu: SMMU<Memory>) {
        // The driver makes only aligned accesses of legal width, so that there is no refusal to report; a bus
        // that fails nevertheless reads as zeros.
        read = { offset in
            guard let value = try? smmu.readRegister(offset, width: 4) else { return 0 }
            return UInt32(truncatingIfNeeded: value)
        }
        write = { offset, width, value in
            try? smmu.writeRegister(offset, width: width, value: value)
        }
    }

    func read(_ register: Register) -> UInt32 { read(register.rawValue) }

    func write(_ register: Register, _ value: UInt32) { write(register.rawValue, 4, UInt64(value)) }

    func write64(_ register: Register, _ value: UInt64) { write(register.rawValue, 8, value) }

    /// Writes and waits until the acknowledge register shows the value.
    ///
    /// - Returns: whether it did within a bounded number of reads.
    func write(_ register: Register, _ value: UInt32, acknowledgedBy acknowledge: Register) -> Bool {
        write(register, value)
        for _ in 0..<1000 where read(acknowledge) == value { return true }
        return false
    }
}
