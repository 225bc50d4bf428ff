/// A TLB invalidation that a CPU broadcasts to everything that shares its tables (3.17).
public enum BroadcastInvalidation: Equatable, Sendable {
    /// TLBI VAE1IS, or RVAE1IS over a range: `length` bytes from `address`.
    case address(UInt64, length: UInt64, asid: UInt16, vmid: UInt16)
    /// TLBI VAAE1IS, or RVAAE1IS over a range.
    case addressAllASIDs(UInt64, length: UInt64, vmid: UInt16)
    /// TLBI ASIDE1IS.
    case asid(UInt16, vmid: UInt16)
    /// TLBI VMALLE1IS: stage 1 of a VMID.
    case stage1(vmid: UInt16)
    /// TLBI VMALLS12E1IS: both stages of a VMID.
    case stage1And2(vmid: UInt16)
    /// TLBI IPAS2E1IS.
    case intermediateAddress(UInt64, length: UInt64, vmid: UInt16)
    /// TLBI ALLE1IS.
    case all
    /// TLBI VAE2IS or, without an ASID, VAAE2IS; or a range of such.
    case hypervisorAddress(UInt64, length: UInt64, asid: UInt16?)
    /// TLBI ASIDE2IS: of EL2 with E2H.
    case hypervisorASID(UInt16)
    /// TLBI ALLE2IS.
    case hypervisor
}

extension SMMU {
    /// Whether broadcasts are heard: IDR0.BTM = 1 and CR2.PTM = 0.
    public var participatesInBroadcast: Bool {
        features.broadcast && registers.CR2 & CR2.PTM == 0
    }

    /// Takes part in a broadcast invalidation; without BTM, or with PTM, nothing happens.
    ///
    /// Entries of contexts with CD.ASET = 1 ignore the forms that match an ASID.
    public func broadcastInvalidate(_ invalidation: BroadcastInvalidation) {
        guard participatesInBroadcast else {
            return
        }
        switch invalidation {
        case .address(let address, let length, let asid, let vmid):
            removeAddress(AddressRange(address: address, length: length), asid: asid, vmid: vmid)
        case .addressAllASIDs(let address, let length, let vmid):
            forEachMachine(vmid) {
                removeAddress(machine: $0, asid: nil, AddressRange(address: address, length: length))
            }
        case .asid(let asid, let vmid):
            forEachMachine(vmid) { machine in
                if let space = spaces.existingSpace(machine: machine, asid: asid), !spaces.spaces[space].ASET {
                    spaces.renew(space: space)
                }
            }
        case .stage1(let vmid): forEachMachine(vmid) { spaces.renew(machine: $0, stage2: false) }
        case .stage1And2(let vmid): forEachMachine(vmid) { spaces.renew(machine: $0, stage2: true) }
        case .intermediateAddress(let address, let length, let vmid):
            forEachMachine(vmid) {
                remove(tag: spaces.stage2Tag(machine: $0), AddressRange(address: address, length: length))
            }
        case .all:
            for machine in spaces.machines.indices where spaces.machines[machine].world == .NS_EL1 {
                spaces.renew(machine: machine, stage2: true)
            }
        case .hypervisorAddress, .hypervisorASID, .hypervisor: invalidateHypervisor(invalidation)
        }
        markUnrecordedStalls()
        if reportsInvalidations { delegate?.invalidated(reported(invalidation)) }
    }

    /// Entries of contexts with CD.ASET = 1 stay.
    private func removeAddress(_ range: AddressRange, asid: UInt16, vmid: UInt16) {
        forEachMachine(vmid) { machine in
            if let space = spaces.existingSpace(machine: machine, asid: asid), !spaces.spaces[space].ASET {
                remove(tag: spaces.tag(space: space), range)
            }
            if hasGlobalEntries {
                remove(tag: spaces.globalTag(machine: machine, ASET: false), range)
            }
        }
    }

    private func invalidateHypervisor(_ invalidation: BroadcastInvalidation) {
        let world: StreamWorld = registers.CR2 & CR2.E2H != 0 ? .NS_EL2_E2H : .NS_EL2
        for machine in spaces.machines.indices where spaces.machines[machine].world == world {
            switch invalidation {
            case .hypervisorAddress(let address, let length, let asid):
                let asid = world == .NS_EL2 ? 0 : asid
                removeAddress(machine: machine, asid: asid, AddressRange(address: address, length: length))
            case .hypervisorASID(let asid):
                if let space = spaces.existingSpace(machine: machine, asid: asid) { spaces.renew(space: space) }
            default: spaces.renew(machine: machine, stage2: true)
            }
        }
    }

    /// As whoever keeps translations has to take it.
    private func reported(_ invalidation: BroadcastInvalidation) -> Invalidation {
        func addresses(_ address: UInt64, _ length: UInt64, asid: UInt16?, vmid: UInt16?) -> Invalidation {
            let range = AddressRange(address: address, length: length)
            return self.addresses(first: range.first, last: range.last, asid: asid, vmid: vmid, leaf: false)
        }
        let isWide = wildcardBits != 0 || !features.stage2
        switch invalidation {
        case .address(let address, let length, let asid, let vmid):
            return addresses(address, length, asid: asid, vmid: isWide ? nil : vmid)
        case .addressAllASIDs(let address, let length, let vmid),
            .intermediateAddress(let address, let length, let vmid):
            return addresses(address, length, asid: nil, vmid: isWide ? nil : vmid)
        case .asid(let asid, let vmid): return .space(asid: asid, vmid: isWide ? nil : vmid)
        case .stage1(let vmid), .stage1And2(let vmid): return isWide ? .everything : .machine(vmid: vmid)
        case .hypervisorAddress(let address, let length, let asid):
            return addresses(address, length, asid: asid, vmid: nil)
        case .hypervisorASID(let asid): return .space(asid: asid, vmid: nil)
        case .all, .hypervisor: return .everything
        }
    }

    /// The machines that a broadcast for a VMID means: CR0.VMW widens it as it does commands (3.17.6).
    private func forEachMachine(_ vmid: UInt16, _ body: (Int) -> Void) {
        let machines = spaces.machines(
            world: .NS_EL1, vmid: features.stage2 ? vmid : 0, wildcardBits: wildcardBits)
        for machine in machines {
            body(machine)
        }
    }
}
