import IOMMU
import SMMUv3

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// A virtual machine with one device: it keeps a context descriptor and stage 1 tables in its own memory.
struct Guest {
    let laboratory: ObjectLaboratory
    let memory: ObjectID
    let device: ObjectID
    let viommu: ObjectID
    let vdevice: ObjectID
    let parent: ObjectID
    let ioas: ObjectID

    /// Guest physical addresses.
    static let cd: UInt64 = 0x10000
    static let level1: UInt64 = 0x20000
    static let level2: UInt64 = 0x21000
    static let level3: UInt64 = 0x22000
    static let data: UInt64 = 0x10_0000
    static let virtualID: UInt64 = 0x77
    /// Guest virtual address of page 0 of ``level3``.
    static let va: UInt64 = 0x4000_0000
    /// Device number on the laboratory's first SMMU.
    static let name = ObjectLaboratory.wide

    init(_ laboratory: ObjectLaboratory, device name: String = Guest.name) throws {
        self.laboratory = laboratory
        let context = laboratory.context
        ioas = try context.allocateIOAS()
        memory = try laboratory.memory()
        try laboratory.map(ioas, memory, at: 0, length: 1 << 24)
        device = try laboratory.bind(name)
        parent = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
        viommu = try context.allocateVIOMMU(device: device, hwpt: parent, type: "arm_smmuv3")
        vdevice = try context.allocateVDevice(viommu: viommu, device: device, virtualID: Self.virtualID)
        try store(Self.level1 + 8, Self.level2 | 3)
        try store(Self.level2, Self.level3 | 3)
        try storeCD(Self.contextDescriptor)
    }

    var context: ObjectContext { laboratory.context }

    static var contextDescriptor: ContextDescriptor {
        var cd = ContextDescriptor()
        (cd.V, cd.AA64, cd.EPD1, cd.A, cd.R) = (true, true, true, true, true)
        (cd.T0SZ, cd.IPS, cd.ASID, cd.MAIR0) = (25, 4, 1, 0xff)
        cd.word1 |= level1
        return cd
    }

    /// Not global, access flag, inner shareable, unprivileged, writable.
    static func page(_ address: UInt64) -> UInt64 { address | 1 << 11 | 1 << 10 | 3 << 8 | 1 << 6 | 3 }

    func store(_ address: UInt64, _ value: UInt64) throws {
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        try context.writeMemory(memory, offset: address, bytes: bytes)
    }

    func storeCD(_ cd: ContextDescriptor, at index: UInt64 = 0) throws {
        for (word, value) in cd.words.enumerated() { try store(Self.cd + index * 64 + UInt64(word) * 8, value) }
    }

    /// Translating, one CD.
    static let vste: (UInt64, UInt64) = (1 | 5 << 1 | cd, 0)

    func nested(_ vste: (UInt64, UInt64) = Guest.vste, fault: ObjectID? = nil) throws -> ObjectID {
        try context.allocateHWPT(HWPTRequest(device: device, pt: viommu, fault: fault, vste: vste))
    }

    func attach(_ vste: (UInt64, UInt64) = Guest.vste) throws -> ObjectID {
        let hwpt = try nested(vste)
        return try context.attach(device: device, to: hwpt, pasid: nil)
    }

    func reach(_ va: UInt64, pasid: UInt32? = nil, _ access: SMMUv3.Access = .read) throws -> UInt64? {
        let address = try laboratory.reach(Self.name, va, pasid: pasid, access)
        try laboratory.backend.device(named: Self.name).driver.service()
        return address
    }

    /// The machine's address of a guest physical one.
    func physical(_ address: UInt64) throws -> UInt64 { try context.base(ofMemory: memory) + address }
}
