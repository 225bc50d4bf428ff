extension SMMU {
    /// The Translation Completion of a request (3.9.1.2): the attributes of the output are what it grants.
    func answerTranslationRequest(_ request: Transaction) -> Translation {
        let transaction = asReceived(request)
        guard features.ATS, registers.isEnabled(CR0.SMMUEN) else {
            return refuse(transaction)
        }
        let ste: StreamTableEntry
        switch findSTE(transaction, live: true) {
        case .failed(let event):
            recordATSError(event)
            return .terminated(.atsCompleterAbort)
        case .faulted: return .terminated(.atsCompleterAbort)
        case .found(let found): ste = found
        }
        guard ste.word0.bit(3) else {
            return .terminated(.atsUnsupportedRequest)
        }
        let EATS = effectiveEATS(ste)
        guard EATS != 0 else {
            return refuse(transaction)
        }
        if let context = findContext(transaction) {
            return complete(transaction, context, isSplit: EATS == 0b10)
        }
        switch makeContext(transaction) {
        case .failed(let event):
            recordATSError(event)
            return .terminated(.atsCompleterAbort)
        case .faulted(let fault, var context): return complete(fault, transaction, &context)
        case .aborted: return .terminated(.atsUnsupportedRequest)
        case .context(let context): return complete(transaction, context, isSplit: EATS == 0b10)
        }
    }

    /// Exe and Priv come with a PASID only (13.7.1).
    private func asReceived(_ request: Transaction) -> Transaction {
        guard request.substreamID == nil else {
            return request
        }
        var plain = request
        plain.privileged = false
        plain.access = request.access == .write ? .write : .read
        return plain
    }

    /// The record says what was asked for, before overrides; a request always asks for reads (7.3.6).
    private func refuse(_ transaction: Transaction) -> Translation {
        var event = Self.event(.F_BAD_ATS_TREQ, transaction)
        (event.R, event.W, event.X) = (true, transaction.access == .write, transaction.access == .execute)
        (event.Priv, event.Span) = (transaction.privileged, 1)
        event.InputAddr = transaction.address & ~0xfff
        _ = record(event)
        return .terminated(.atsUnsupportedRequest)
    }

    // MARK: Permissions

    /// Grants what the tables permit of what was asked for: a write that may not be becomes a read.
    private func complete(
        _ transaction: Transaction, _ context: UnsafeMutablePointer<StreamContext>, isSplit: Bool
    ) -> Translation {
        do throws(Fault) {
            var request = try request(transaction, context)
            if transaction.access == .write {
                do throws(Fault) {
                    let output = try grant(context, request, isSplit: isSplit)
                    return .ok(granted(output, transaction, context, isWrite: true))
                } catch {
                    guard error.type == .F_PERMISSION, error.purpose == .IN else {
                        throw error
                    }
                }
            }
            request.access = context.pointee.readsAreFetches ? .execute : .read
            let output = try grant(context, request, isSplit: isSplit)
            return .ok(granted(output, transaction, context, isWrite: false))
        } catch {
            return complete(error, transaction, context)
        }
    }

    private func grant(
        _ context: UnsafePointer<StreamContext>, _ request: Request, isSplit: Bool
    ) throws(Fault) -> Output {
        let full = try walk(context, request)
        guard isSplit, context.pointee.mode == .nested else {
            return full
        }
        // The device gets the IPA, with the permissions of both stages.
        let first = try walkStage1(context, request, isNested: true, live: true)
        let size = min(full.pageSize, 1 << first.log2Size)
        let IPA = first.output | request.address & ((1 << first.log2Size) - 1)
        return Output(address: IPA, pageSize: size, attributes: full.attributes, isCached: false)
    }

    /// The output with R, W and Exe of the completion (13.7.1).
    ///
    /// Write permission is for who asked to write: a page that is not dirty yet must not be written to without a word.
    private func granted(
        _ output: Output, _ transaction: Transaction, _ context: UnsafePointer<StreamContext>, isWrite: Bool
    ) -> Output {
        let found = output.attributes
        let (R, X): (Bool, Bool) =
            switch context.pointee.INSTCFG {
            case 0b11: (found.isExecutable, found.isExecutable)
            case 0b10: (found.isReadable, found.isReadable)
            default: (found.isReadable, found.isReadable && found.isExecutable)
            }
        // Nothing translates: the identity, readable and writable (13.6.4).
        let isBypass = context.pointee.mode == .bypass
        var answer = output
        answer.attributes = OutputAttributes(
            memoryAttributes: found.memoryAttributes, shareability: found.shareability, isReadable: R,
            isWritable: isWrite || isBypass, isExecutable: transaction.access == .execute && X)
        return answer
    }

    private func complete(
        _ fault: Fault, _ transaction: Transaction, _ context: UnsafePointer<StreamContext>
    ) -> Translation {
        if fault.type == .F_WALK_EABT {
            recordATSError(event(fault, transaction, context))
            return .terminated(.atsCompleterAbort)
        }
        return .terminated(.atsNoAccess)
    }
}
