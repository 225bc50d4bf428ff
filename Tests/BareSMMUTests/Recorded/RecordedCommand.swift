import IOMMU

/// A command as a driver wrote it, and what a VMM has to be told of it: by IHI 0070, 4.3 to 4.5.
struct RecordedCommand {
    let words: (UInt64, UInt64)

    private func field(_ word: UInt64, _ high: UInt64, _ low: UInt64) -> UInt64 {
        word >> low & ((2 << (high - low)) - 1)
    }

    private var asid: UInt16 { UInt16(words.0 >> 48) }
    private var streamID: UInt32 { UInt32(words.0 >> 32) }

    /// What takes away translations, as words of the specification have it.
    ///
    /// - Parameter hasStage2: VMIDs mean something.
    func notice(hasStage2: Bool) -> BareSMMUNotice? {
        let vmid = hasStage2 ? UInt16(field(words.0, 47, 32)) : nil
        switch words.0 & 0xff {
        case 0x03...0x06: return .invalidate(configuration)
        case 0x10, 0x28: return .invalidate(make(vmid == nil ? .all : .vmid) { $0.vmid = vmid })
        case 0x11: return .invalidate(make(.asid) { ($0.asid, $0.vmid) = (asid, vmid) })
        case 0x12: return .invalidate(range { ($0.asid, $0.vmid) = (asid, vmid) })
        case 0x13, 0x2a: return .invalidate(range { $0.vmid = vmid })
        case 0x30: return .invalidate(make(.all) { _ in })
        case 0x40: return .invalidate(ofDevices)
        default: return nil
        }
    }

    /// CMD_SYNC with CS = SIG_SEV.
    var sendsEvent: Bool { words.0 & 0xff == 0x46 && field(words.0, 13, 12) == 2 }

    private func make(_ scope: BareInvalidation.Scope, _ change: (inout BareInvalidation) -> Void) -> BareInvalidation {
        var made = BareInvalidation(scope)
        change(&made)
        return made
    }

    private var configuration: BareInvalidation {
        make(.config) { made in
            let (opcode, SSID) = (words.0 & 0xff, UInt32(field(words.0, 31, 12)))
            made.leaf = opcode != 0x04 && opcode != 0x06 && words.1 & 1 != 0
            // CMD_CFGI_ALL is a range of all.
            guard opcode != 0x04 else { return }
            made.streamIDs = streamID...streamID
            if opcode == 0x05, SSID != 0 { made.substreamID = SSID }
        }
    }

    /// A page, or with a granule as many as NUM and SCALE say.
    private func range(_ change: (inout BareInvalidation) -> Void) -> BareInvalidation {
        make(.range) { made in
            let TG = field(words.1, 11, 10)
            let granule: UInt64 = TG == 0 ? 12 : 10 + 2 * TG
            let pages: UInt64 = TG == 0 ? 1 : (field(words.0, 16, 12) + 1) << field(words.0, 24, 20)
            let start = words.1 & ~0xfff
            made.addresses = start...start + (pages << granule - 1)
            made.leaf = words.1 & 1 != 0
            change(&made)
        }
    }

    /// CMD_ATC_INV
    private var ofDevices: BareInvalidation {
        let bits = field(words.1, 5, 0) + 12
        return make(bits == 64 ? .stream : .range) { made in
            made.ats = true
            made.streamIDs = streamID...streamID
            let isGlobal = words.0 >> 9 & 1 != 0
            if words.0 >> 11 & 1 != 0, !isGlobal { made.substreamID = UInt32(field(words.0, 31, 12)) }
            guard bits < 64 else { return }
            let start = (words.1 >> bits) << bits
            made.addresses = start...start | (1 << bits - 1)
        }
    }

    /// Of several commands in a row: what concerns neighbours is told once.
    static func notices(of commands: [RecordedCommand], hasStage2: Bool, hasSEV: Bool) -> [BareSMMUNotice] {
        var told: [BareSMMUNotice] = []
        for command in commands {
            if hasSEV, command.sendsEvent { told.append(.event) }
            guard let notice = command.notice(hasStage2: hasStage2) else { continue }
            if case .invalidate(var last)? = told.last, case .invalidate(let next) = notice, last.absorb(next) {
                told[told.count - 1] = .invalidate(last)
            } else {
                told.append(notice)
            }
        }
        return told
    }
}
