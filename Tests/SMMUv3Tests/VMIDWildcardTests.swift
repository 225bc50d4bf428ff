import SMMUv3
import Testing

/// CR0.VMW: how many low bits of the VMID an invalidation ignores (3.17.6, 6.3.9.1).
@Suite struct VMIDWildcardTests {
    private static let vmids: [UInt64] = [0x00, 0x10, 0x11, 0x12, 0x13, 0x14, 0x17, 0x18, 0x1f, 0x20, 0xff13]
    private static let page: UInt64 = 0x1000
    private static let old: UInt64 = 0x5000
    private static let new: UInt64 = 0x6000

    enum Invalidation: CaseIterable {
        case NH_ALL, NH_ASID, NH_VA, NH_VAA, S12_VMALL, S2_IPA
        case broadcastVA, broadcastVAA, broadcastASID, broadcastStage1, broadcastBoth, broadcastIPA

        var isOfStage2: Bool { [.S2_IPA, .broadcastIPA].contains(self) }
        var isOfBothStages: Bool { [.S12_VMALL, .broadcastBoth].contains(self) }

        func carryOut(on machine: Machine, vmid: UInt16) throws {
            switch self {
            case .NH_ALL: try machine.submit(.TLBI_NH_ALL(vmid: vmid))
            case .NH_ASID: try machine.submit(.TLBI_NH_ASID(asid: 1, vmid: vmid))
            case .NH_VA: try machine.submit(.TLBI_NH_VA(address: page, asid: 1, vmid: vmid))
            case .NH_VAA: try machine.submit(.TLBI_NH_VAA(address: page, vmid: vmid))
            case .S12_VMALL: try machine.submit(.TLBI_S12_VMALL(vmid: vmid))
            case .S2_IPA: try machine.submit(.TLBI_S2_IPA(address: page, vmid: vmid))
            case .broadcastVA: broadcast(.address(page, length: 4096, asid: 1, vmid: vmid), machine)
            case .broadcastVAA: broadcast(.addressAllASIDs(page, length: 4096, vmid: vmid), machine)
            case .broadcastASID: broadcast(.asid(1, vmid: vmid), machine)
            case .broadcastStage1: broadcast(.stage1(vmid: vmid), machine)
            case .broadcastBoth: broadcast(.stage1And2(vmid: vmid), machine)
            case .broadcastIPA: broadcast(.intermediateAddress(page, length: 4096, vmid: vmid), machine)
            }
        }

        private func broadcast(_ invalidation: BroadcastInvalidation, _ machine: Machine) {
            machine.smmu.broadcastInvalidate(invalidation)
        }
    }

    private func machine(hasVMW: Bool = true) throws -> Machine {
        let identification = Identification.laboratory.with(\.IDR0, 17, 17, hasVMW ? 1 : 0).with(\.IDR0, 5, 5, 1)
        return try Machine(identification)
    }

    /// A stream for each VMID, all with ASID 1 on one page that is cached, and has moved in the tables since.
    private func age(_ machine: Machine, stage: Int) {
        let root = machine.allocate(8192)
        let cd = machine.allocate()
        machine.set(machine.context(root), at: cd)
        let attributes = stage == 1 ? Machine.page : Machine.stage2Page
        let start: UInt64 = stage == 1 ? 0 : 1
        machine.map(root, Self.page, Self.old, attributes, start: start)
        for (stream, vmid) in Self.vmids.enumerated() {
            var ste = stage == 1 ? machine.stage1(cd) : machine.stage2(root)
            ste.S2VMID = vmid
            machine.set(ste, stream: UInt32(stream))
            #expect(machine.translate(Self.page, stream: UInt32(stream)).address == Self.old)
        }
        machine.map(root, Self.page, Self.new, attributes, start: start)
    }

    private func forgotten(_ machine: Machine) -> [UInt64] {
        Self.vmids.enumerated().filter { stream, _ in
            machine.translate(Self.page, stream: UInt32(stream)).address == Self.new
        }.map(\.element)
    }

    @Test(arguments: Invalidation.allCases)
    func groupsOfVMIDsAreForgottenTogether(_ invalidation: Invalidation) throws {
        for VMW in UInt64(0)...7 {
            for stage in 1...2 where invalidation.isOfBothStages || invalidation.isOfStage2 == (stage == 2) {
                let machine = try machine()
                try machine.write(.CR0, 0x1f | VMW << 6)
                #expect(machine.read(.CR0ACK) == 0x1f | VMW << 6)
                age(machine, stage: stage)
                try invalidation.carryOut(on: machine, vmid: 0x13)
                // Values above 4 are reserved and behave as 0.
                let ignored = VMW <= 4 ? VMW : 0
                let expected = Self.vmids.filter { ($0 ^ 0x13) >> ignored == 0 }
                #expect(forgotten(machine) == expected, "VMW \(VMW), stage \(stage)")
            }
        }
    }

    @Test func withoutTheFeatureTheFieldIsReserved() throws {
        let machine = try machine(hasVMW: false)
        try machine.write(.CR0, 0x1f | 4 << 6)
        #expect(machine.read(.CR0) == 0x1f)
        #expect(machine.read(.CR0ACK) == 0x1f)
        age(machine, stage: 1)
        try machine.submit(.TLBI_NH_ALL(vmid: 0x13))
        #expect(forgotten(machine) == [0x13])
    }

    @Test func lookupsMatchExactly() throws {
        let machine = try machine()
        try machine.write(.CR0, 0x1f | 4 << 6)
        for stream in UInt32(0)..<4 {
            let root = machine.allocate()
            let cd = machine.allocate()
            machine.set(machine.context(root), at: cd)
            machine.map(root, Self.page, UInt64(stream + 1) << 20)
            var ste = machine.stage1(cd)
            ste.S2VMID = UInt64(stream)
            machine.set(ste, stream: stream)
        }
        for _ in 0..<2 {
            for stream in UInt32(0)..<4 {
                #expect(machine.translate(Self.page, stream: stream).address == UInt64(stream + 1) << 20)
            }
        }
    }
}
