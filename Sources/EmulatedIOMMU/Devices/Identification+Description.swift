import IOMMU
import SMMUv3

extension Identification {
    /// The ID registers that state what a topology describes.
    init(_ description: SMMUDescription) throws(IdentificationError) {
        let laboratory = Identification.laboratory
        self.init(
            IDR0: Self.featureWord(description),
            IDR1: try Self.sizeWord(description, queues: laboratory.IDR1),
            IDR3: Self.optionsWord(description, options: laboratory.IDR3),
            IDR5: try Self.addressWord(description),
            IIDR: laboratory.IIDR, AIDR: laboratory.AIDR
        )
    }

    private static func featureWord(_ description: SMMUDescription) -> UInt32 {
        var word: UInt32 = 0
        func set(_ present: Bool, _ bits: UInt32, at shift: UInt32) { if present { word |= bits << shift } }
        set(description.stage2, 1, at: 0)
        set(description.stage1, 1, at: 1)
        set(true, 0b10, at: 2)  // TTF: AArch64
        set(true, 1, at: 4)  // COHACC
        set(description.broadcastTLB, 1, at: 5)
        set(description.hardwareDirty, 0b10, at: 6)
        set(description.ats, 1, at: 10)
        set(description.asidBits == 16, 1, at: 12)
        set(description.pri, 1, at: 16)
        set(description.vmidBits == 16, 1, at: 18)
        set(description.substreamIDBits > 0, 1, at: 19)  // CD2L
        set(true, 0b10, at: 21)  // TTENDIAN: little
        word |= UInt32(description.stallModel & 0b11) << 24  // STALL_MODEL
        word |= UInt32(description.terminateModel & 1) << 26  // TERM_MODEL
        set(description.twoLevelStreamTable, 0b01, at: 27)
        return word
    }

    private static func optionsWord(_ description: SMMUDescription, options: UInt32) -> UInt32 {
        options & ~(1 << 8 | 1 << 10) | (description.forceWriteBack ? 1 << 8 : 0)
            | (description.rangeInvalidation ? 1 << 10 : 0)
    }

    private static func sizeWord(_ description: SMMUDescription, queues: UInt32) throws(IdentificationError) -> UInt32 {
        guard (0...32).contains(description.streamIDBits) else {
            throw IdentificationError(
                field: "IDR1.SIDSIZE", value: UInt32(clamping: description.streamIDBits),
                explanation: "0 to 32 are possible")
        }
        guard (0...20).contains(description.substreamIDBits) else {
            throw IdentificationError(
                field: "IDR1.SSIDSIZE", value: UInt32(clamping: description.substreamIDBits),
                explanation: "0 to 20 are possible")
        }
        guard (0...19).contains(description.commandQueueBits) else {
            throw IdentificationError(
                field: "IDR1.CMDQS", value: UInt32(clamping: description.commandQueueBits),
                explanation: "0 to 19 are possible")
        }
        return queues & ~(0x1f << 21 | 0x7ff) | UInt32(description.commandQueueBits) << 21
            | UInt32(description.substreamIDBits) << 6 | UInt32(description.streamIDBits)
    }

    private static func addressWord(_ description: SMMUDescription) throws(IdentificationError) -> UInt32 {
        guard let size = [32, 36, 40, 42, 44, 48, 52].firstIndex(of: description.outputAddressBits) else {
            throw IdentificationError(
                field: "IDR5.OAS", value: UInt32(clamping: description.outputAddressBits),
                explanation: "32, 36, 40, 42, 44, 48 and 52 bits are possible")
        }
        var word = UInt32(size)
        if description.granule4K { word |= 1 << 4 }
        if description.granule16K { word |= 1 << 5 }
        if description.granule64K { word |= 1 << 6 }
        if description.virtualAddressBits == 52 { word |= 0b01 << 10 }
        if description.stall { word |= 256 << 16 }
        return word
    }
}
