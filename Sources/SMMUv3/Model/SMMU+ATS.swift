extension SMMU {
    /// Transactions while the SMMU is disabled, and those of ATS.
    func translateSpecially(_ transaction: Transaction) -> Translation {
        switch transaction.addressType {
        case .untranslated: translateDisabled(transaction)
        case .translated: translateTranslated(transaction)
        case .translationRequest: answerTranslationRequest(transaction)
        }
    }

    /// SMMUEN = 0: GBPA decides (6.3.14, 3.4).
    private func translateDisabled(_ transaction: Transaction) -> Translation {
        if registers.GBPA & GBPA.ABORT != 0 {
            return .terminated(.gbpaAbort)
        }
        guard transaction.address >> UInt64(features.OAS) == 0 else {
            return .terminated(.addressBeyondOAS)
        }
        let input = features.overridesTypes ? InputAttributes(GBPA: registers.GBPA) : InputAttributes()
        return .ok(bypass(transaction.address, input))
    }

    // MARK: Translated transactions

    /// An access at an address that the device translated before (3.9.1.3).
    private func translateTranslated(_ transaction: Transaction) -> Translation {
        guard features.ATS, registers.isEnabled(CR0.SMMUEN) else {
            return forbid(transaction)
        }
        guard registers.isEnabled(CR0.ATSCHK) else {
            return passTranslated(transaction)
        }
        // Without PASIDTT a Translated transaction counts as unprivileged data without a substream.
        var plain = transaction
        plain.substreamID = nil
        plain.privileged = false
        plain.access = transaction.access == .write ? .write : .read
        switch findSTE(plain, live: true) {
        case .failed(let event):
            if registers.CR2 & CR2.REC_CFG_ATS != 0 {
                // Here RECINVSID has no say (3.9.1.3).
                _ = record(event)
            }
            return .terminated(.atsTranslatedForbidden)
        case .faulted: return .terminated(.atsTranslatedForbidden)
        case .found(let ste):
            guard ste.word0.bit(3) else {
                return .terminated(.steAbort)
            }
            switch effectiveEATS(ste) {
            case 0b00: return forbid(transaction)
            case 0b10: return translateSplit(plain, ste)
            default: return passTranslated(transaction)
            }
        }
    }

    private func passTranslated(_ transaction: Transaction) -> Translation {
        guard transaction.address >> UInt64(features.OAS) == 0 else {
            return .terminated(.addressBeyondOAS)
        }
        return .ok(bypass(transaction.address, InputAttributes()))
    }

    private func forbid(_ transaction: Transaction) -> Translation {
        var event = Self.event(.F_TRANSL_FORBIDDEN, transaction)
        event.RnW = transaction.access != .write
        event.InputAddr = transaction.address
        return terminate(event, transaction)
    }

    /// Split-stage ATS: the address is an IPA that stage 2 translates.
    private func translateSplit(_ transaction: Transaction, _ ste: StreamTableEntry) -> Translation {
        var context = StreamContext()
        prepareSplit(&context, ste)
        var request = Request(address: transaction.address, access: transaction.access, privileged: false)
        override(&request, context.PRIVCFG, context.INSTCFG)
        do throws(Fault) {
            if let output = try cachedOutput(&context, request) {
                return .ok(output)
            }
            return .ok(try walk(&context, request))
        } catch {
            return finish(error, transaction, &context)
        }
    }

    private func prepareSplit(_ context: inout StreamContext, _ ste: StreamTableEntry) {
        context.decode(ste, features)
        context.machine = spaces.machine(world: .NS_EL1, vmid: UInt16(truncatingIfNeeded: ste.S2VMID))
        context.mode = .stage2
        // Overrides are of what a stream sends untranslated (13.1.4).
        context.input = InputAttributes()
        refreshTags(&context)
    }

    /// STE.EATS as the rest of the configuration lets it be (5.2 EATS).
    func effectiveEATS(_ ste: StreamTableEntry) -> UInt64 {
        guard features.ATS, ste.Config != StreamConfiguration.bypass.rawValue, ste.EATS != 0b11 else {
            return 0b00
        }
        return ste.EATS == 0b10 && !registers.isEnabled(CR0.ATSCHK) ? 0b00 : ste.EATS
    }

    /// What a Translation Request, or the answer to a page request, meets in its configuration (3.9.1.2, 8.1).
    func recordATSError(_ event: EventRecord) {
        guard registers.CR2 & CR2.REC_CFG_ATS != 0,
            event.type != .C_BAD_STREAMID || registers.CR2 & CR2.RECINVSID != 0
        else {
            return
        }
        _ = record(event)
    }
}
