extension SMMU {
    /// Tells the delegate what a command that was carried out has taken away.
    func report(_ command: Command) {
        guard let opcode = command.opcode, let found = invalidation(opcode, command) else { return }
        delegate?.invalidated(found)
    }

    private func invalidation(_ opcode: CommandOpcode, _ command: Command) -> Invalidation? {
        let vmid = features.stage2 && wildcardBits == 0 ? command.VMID : nil
        switch opcode {
        case .CFGI_STE, .CFGI_STE_RANGE, .CFGI_CD, .CFGI_CD_ALL: return configuration(opcode, command)
        case .TLBI_NSNH_ALL, .TLBI_EL2_ALL: return .everything
        case .TLBI_NH_ALL, .TLBI_S12_VMALL: return vmid.map { .machine(vmid: $0) } ?? .everything
        case .TLBI_NH_ASID: return .space(asid: command.ASID, vmid: vmid)
        case .TLBI_EL2_ASID: return .space(asid: command.ASID, vmid: nil)
        case .TLBI_NH_VA: return addresses(command, asid: command.ASID, vmid: vmid)
        case .TLBI_NH_VAA, .TLBI_S2_IPA: return addresses(command, asid: nil, vmid: vmid)
        case .TLBI_EL2_VA:
            return addresses(command, asid: registers.CR2 & CR2.E2H != 0 ? command.ASID : nil, vmid: nil)
        case .TLBI_EL2_VAA: return addresses(command, asid: nil, vmid: nil)
        default: return nil
        }
    }

    private func configuration(_ opcode: CommandOpcode, _ command: Command) -> Invalidation {
        let streamID = command.StreamID
        switch opcode {
        case .CFGI_STE_RANGE:
            let others = UInt32(truncatingIfNeeded: (2 << command.Range) - 1)
            return .configuration(streamIDs: streamID & ~others...streamID | others, substreamID: nil, leaf: false)
        case .CFGI_CD:
            // The first CD may serve transactions without a substream, too.
            return .configuration(
                streamIDs: streamID...streamID, substreamID: command.SubstreamID == 0 ? nil : command.SubstreamID,
                leaf: command.Leaf)
        default:
            return .configuration(
                streamIDs: streamID...streamID, substreamID: nil, leaf: opcode == .CFGI_STE && command.Leaf)
        }
    }

    private func addresses(_ command: Command, asid: UInt16?, vmid: UInt16?) -> Invalidation? {
        guard let range = AddressRange(command, features) else { return nil }
        return addresses(first: range.first, last: range.last, asid: asid, vmid: vmid, leaf: command.Leaf)
    }

    /// Addresses as whoever keeps translations by the address of an access has to take them.
    func addresses(first: UInt64, last: UInt64, asid: UInt16?, vmid: UInt16?, leaf: Bool) -> Invalidation {
        // An access with a tag has another address, and none of a TLBI has one.
        guard !ignoresTags else { return vmid.map { .machine(vmid: $0) } ?? .everything }
        let others: UInt64 = (1 << largestSplit) - 1
        return .range(
            AddressInvalidation(first: first & ~others, last: last | others, asid: asid, vmid: vmid, leaf: leaf))
    }

    /// SMMUEN, GBPA and the like: every transaction may fare differently now.
    func reportChange() {
        if reportsInvalidations { delegate?.invalidated(.change) }
    }
}
