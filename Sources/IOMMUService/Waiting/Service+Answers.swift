import IOMMU
import JSONRPC

/// Replies to calls that a backend may answer later.
extension Service {
    /// Replies with the one field of the result: at once, or when the backend is through with it.
    ///
    /// - Parameter set: writes it. It captures nothing, so that nothing is made for a reply that is there.
    @inline(__always)
    func reply<Value, Kind>(
        _ call: Call, _ session: Session, _ answer: Answer<Value>, _ field: Field<Kind>,
        _ set: @escaping (ResultWriter, Field<Kind>, Value) -> Void
    ) -> Outcome {
        switch answer {
        case .now(let value): call.reply { set($0, field, value) }
        case .later(let deferred): later(call, session, deferred) { set($0, field, $1) }
        }
    }

    /// Replies without a result: at once, or when the backend is through with it.
    @inline(__always)
    func reply(_ call: Call, _ session: Session, _ answer: Answer<Void>) -> Outcome {
        switch answer {
        case .now: call.reply()
        case .later(let deferred): later(call, session, deferred) { _, _ in }
        }
    }

    /// Makes ready what a named session is in. Where that cannot be had, one that has nothing in it is not there.
    func open(_ session: Session) throws(IOMMUError) -> Answer<Void> {
        let answer: Answer<Void>
        do throws(IOMMUError) { answer = try session.context.beginOpening() } catch {
            abandon(session)
            throw error
        }
        return answer.flatMap { [self] result in
            guard case .failure(let error) = result else { return .now(()) }
            abandon(session)
            return .later(.failed(error))
        }
    }

    private func abandon(_ session: Session) {
        if session.name != nil, session.context.isEmpty { sessions.close(session) }
    }

    /// Replies when the backend is through. Until then the session's other connections wait, so that its calls are
    /// carried out one after the other; other sessions go on. Where the connection ends before, it is called off, or
    /// ends for nobody.
    ///
    /// - Parameter onSuccess: what is done also if nobody waits for the reply any more.
    @inline(never)
    func later<Value>(
        _ call: Call, _ session: Session, _ deferred: Deferred<Value>, onSuccess: ((Value) -> Void)? = nil,
        write: @escaping (ResultWriter, Value) -> Void
    ) -> Outcome {
        let parked = call.park { [context = session.context] in context.callOff() }
        session.begin()
        deferred.whenSettled { [waits] result in
            switch result {
            case .success(let value):
                onSuccess?(value)
                parked.reply { write($0, value) }
            case .failure(let error): parked.fail(error)
            }
            session.end()
            // A queue that others wait at may have gone.
            waits.stir(session.id)
        }
        return .later(parked)
    }
}
