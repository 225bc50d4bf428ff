extension SMMU {
    /// Translates a transaction for a page that is not there, whatever the tables say: as if the descriptor that maps
    /// it had been made invalid before, and will be made valid again when the page comes.
    ///
    /// For hosts that learn only at the access that they cannot deliver a page. What translates nothing (bypass) has no
    /// descriptor, and is answered as by ``translate(_:)``.
    ///
    /// - Returns: F_TRANSLATION of the last stage, recorded, stalled or held as configured; or whatever else the
    ///   transaction meets first.
    public func translateWithoutPage(_ transaction: Transaction) -> Translation {
        let translation = translate(transaction)
        guard case .ok = translation, transaction.addressType == .untranslated, registers.isEnabled(CR0.SMMUEN),
            let context = findContext(transaction)
        else { return translation }
        switch context.pointee.mode {
        case .bypass: return translation
        case .stage1: return finish(Fault(.F_TRANSLATION), transaction, context)
        case .stage2:
            let fault = Fault(.F_TRANSLATION, isStage2: true, address: transaction.address)
            return finish(fault, transaction, context)
        case .nested:
            do throws(Fault) {
                let request = try request(transaction, context)
                let first = try walkStage1(context, request, isNested: true, live: false)
                let IPA = first.output | request.address & ((1 &<< first.log2Size) &- 1)
                return finish(Fault(.F_TRANSLATION, isStage2: true, address: IPA), transaction, context)
            } catch {
                return finish(error, transaction, context)
            }
        }
    }
}
