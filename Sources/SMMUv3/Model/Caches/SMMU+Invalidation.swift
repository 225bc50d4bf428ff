extension SMMU {
    /// CMD_CFGI_* (4.3).
    func invalidateConfiguration(_ opcode: CommandOpcode, _ command: Command) -> CommandError {
        guard !command.SSec else {
            return .CERROR_ILL
        }
        let streamID = UInt64(command.StreamID)
        switch opcode {
        case .CFGI_STE:
            forgetStreams { $0 == streamID }
        case .CFGI_STE_RANGE:
            let bits = command.Range + 1
            forgetStreams { ($0 ^ streamID) >> bits == 0 }
        default:
            guard features.stage1 else {
                return .CERROR_ILL
            }
            let key = Self.contextKey(streamID: command.StreamID, index: command.SubstreamID)
            contextDescriptors.remove { opcode == .CFGI_CD ? $0 == key : $0 >> 20 == streamID }
            configurationDidChange()
        }
        return .CERROR_NONE
    }

    /// Key of the CD at an index of the table of a stream.
    static func contextKey(streamID: UInt32, index: UInt32) -> UInt64 {
        UInt64(streamID) << 20 | UInt64(index & 0xf_ffff)
    }

    private func forgetStreams(where matches: (UInt64) -> Bool) {
        streamEntries.remove(where: matches)
        contextDescriptors.remove { matches($0 >> 20) }
        configurationDidChange()
    }

    private func configurationDidChange() {
        renewConfiguration()
        markUnrecordedStalls()
        if reportsConfiguration { delegate?.configurationInvalidated() }
    }

    // MARK: Translations

    /// CMD_TLBI_* (4.4).
    func invalidateTranslations(_ opcode: CommandOpcode, _ command: Command) -> CommandError {
        let vmid = features.stage2 ? command.VMID : 0
        let wildcard = wildcardBits
        switch opcode {
        case .TLBI_NSNH_ALL:
            for machine in spaces.machines.indices where spaces.machines[machine].world == .NS_EL1 {
                spaces.renew(machine: machine, stage2: true)
            }
        case .TLBI_NH_ALL, .TLBI_S12_VMALL:
            for machine in spaces.machines(world: .NS_EL1, vmid: vmid, wildcardBits: wildcard) {
                spaces.renew(machine: machine, stage2: opcode == .TLBI_S12_VMALL)
            }
        case .TLBI_NH_ASID:
            for machine in spaces.machines(world: .NS_EL1, vmid: vmid, wildcardBits: wildcard) {
                if let space = spaces.existingSpace(machine: machine, asid: command.ASID) {
                    spaces.renew(space: space)
                }
            }
        case .TLBI_EL2_ALL:
            for machine in spaces.machines.indices where spaces.machines[machine].world != .NS_EL1 {
                spaces.renew(machine: machine, stage2: true)
            }
        case .TLBI_EL2_ASID:
            for machine in spaces.machines(world: .NS_EL2_E2H, vmid: 0) {
                if let space = spaces.existingSpace(machine: machine, asid: command.ASID) {
                    spaces.renew(space: space)
                }
            }
        default:
            return invalidateAddress(opcode, command, vmid: vmid)
        }
        markUnrecordedStalls()
        return .CERROR_NONE
    }

    /// Low bits of a VMID that invalidation ignores.
    var wildcardBits: Int {
        let VMW = Int(registers.CR0 >> 6 & 7)
        return VMW <= 4 ? VMW : 0
    }

    func invalidateAddress(_ opcode: CommandOpcode, _ command: Command, vmid: UInt16) -> CommandError {
        guard let range = AddressRange(command, features) else {
            return .CERROR_ILL
        }
        if opcode == .TLBI_NH_VA, wildcardBits == 0 {
            removeAddress(target(vmid: vmid, asid: command.ASID), range)
            markUnrecordedStalls()
            return .CERROR_NONE
        }
        let hyp: StreamWorld = registers.CR2 & CR2.E2H != 0 ? .NS_EL2_E2H : .NS_EL2
        let machines: [Int]
        switch opcode {
        case .TLBI_EL2_VA, .TLBI_EL2_VAA: machines = spaces.machines(world: hyp, vmid: 0)
        default: machines = spaces.machines(world: .NS_EL1, vmid: vmid, wildcardBits: wildcardBits)
        }
        for machine in machines {
            switch opcode {
            case .TLBI_S2_IPA: remove(tag: spaces.stage2Tag(machine: machine), range)
            case .TLBI_NH_VA, .TLBI_EL2_VA:
                let asid = spaces.machines[machine].world == .NS_EL2 ? 0 : command.ASID
                removeAddress(machine: machine, asid: asid, range)
            default: removeAddress(machine: machine, asid: nil, range)
            }
        }
        markUnrecordedStalls()
        return .CERROR_NONE
    }

    /// Forgets the stage 1 entries of a machine at an address: those of an ASID, or of all, and the global ones.
    func removeAddress(machine: Int, asid: UInt16?, _ range: AddressRange) {
        guard let asid else {
            let generation = UInt64(spaces.machines[machine].stage1)
            tlb.remove { entry in
                entry.tag >> 32 == generation && TLB.touches(entry, range.first, range.last)
                    && TLBAttributes.matches(entry.attributes, TG: range.TG, TTL: range.TTL)
            }
            return
        }
        removeAddress(spaces.target(machine: machine, asid: asid), range)
    }

    /// Where a TLBI of a VMID and an ASID leads; guests send many of the same address space in a row.
    @inline(__always)
    private func target(vmid: UInt16, asid: UInt16) -> AddressSpaces.Target {
        let names = UInt32(vmid) << 16 | UInt32(asid)
        if recentTarget.names == names, recentTarget.epoch == spaces.epoch { return recentTarget.target }
        let target = spaces.target(vmid: vmid, asid: asid)
        recentTarget = RecentTarget(names: names, epoch: spaces.epoch, target: target)
        return target
    }

    @inline(__always)
    private func removeAddress(_ target: AddressSpaces.Target, _ range: AddressRange) {
        if target.tag != 0 { remove(tag: target.tag, range) }
        if hasGlobalEntries, let machine = target.machine {
            remove(tag: spaces.globalTag(machine: machine, ASET: false), range)
            remove(tag: spaces.globalTag(machine: machine, ASET: true), range)
        }
    }

    @inline(__always)
    func remove(tag: UInt64, _ range: AddressRange) {
        tlb.remove(tag: tag, address: range.first, last: range.last, TG: range.TG, TTL: range.TTL)
        walks.remove(tag: tag, address: range.first, last: range.last, TG: range.TG, TTL: range.TTL)
    }
}

/// The addresses that a TLBI names (4.4.1.1).
struct AddressRange {
    let first: UInt64
    let last: UInt64
    let TG: UInt64
    let TTL: UInt64

    /// `length` bytes from `address`, whole 4 KiB pages, at least one; a range that wraps ends at the top.
    init(address: UInt64, length: UInt64) {
        first = address & ~0xfff
        let (end, overflow) = address.addingReportingOverflow(max(length, 1) - 1)
        (last, TG, TTL) = (overflow ? .max : end | 0xfff, 0, 0)
    }

    /// The range of a command, nil if its parameters are Reserved.
    @inline(__always)
    init?(_ command: Command, _ features: Features) {
        first = command.Address
        guard features.RIL, command.TG != 0 else {
            (last, TG, TTL) = (first | 0xfff, 0, 0)
            return
        }
        TG = command.TG
        // A 16 KiB granule has no level 1 leaves without 52-bit descriptors: treated as no hint.
        TTL = command.TG == 0b10 && command.TTL == 0b01 ? 0 : command.TTL
        let SCALE = command.SCALE & 0x1f
        if command.NUM == 0 && SCALE == 0 && TTL == 0 {
            return nil
        }
        let granuleBits = 10 + 2 * TG
        let bytes = (command.NUM + 1) << (SCALE + granuleBits)
        let (end, overflow) = first.addingReportingOverflow(bytes - 1)
        last = overflow ? .max : end
    }
}
