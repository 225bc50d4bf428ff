import IOMMU
import JSONRPC
import LinuxIO

extension Service {
    /// Carries out a call on a bare SMMU: at once if it is short and nobody has to be told anything, else in turns of
    /// the loop, telling the caller what there is to tell, in order and before the reply.
    ///
    /// - Parameter step: does some of it and returns whether that was all.
    func work(
        _ kind: BareSMMUWork.Kind, on vsmmu: ObjectID, _ smmus: any BareSMMUs, for call: Call,
        step: @escaping BareSMMUWork.Step, write: @escaping (ResultWriter) -> Void = { _ in }
    ) throws -> Outcome {
        try work(kind, on: vsmmu, smmus, for: call, answer: LateReply(write), step: step)
    }

    /// As ``work(_:on:_:for:step:write:)``, answered in another way.
    func work(
        _ kind: BareSMMUWork.Kind, on vsmmu: ObjectID, _ smmus: any BareSMMUs, for call: Call, answer: LateReply,
        step: @escaping BareSMMUWork.Step
    ) throws -> Outcome {
        let client = try client(call)
        let subject = BareSMMUSubject(context: client.session.id, vsmmu: vsmmu)
        call.connection.keepBatches()
        let work = BareSMMUWork(kind, subject, smmus, client, call.connection, service: self, step: step)
        // Writes of several connections come one after the other.
        if kind == .writing, let line = writers[subject] { return wait(call, work, in: line, answer) }
        var budget = TurnBudget(until: MonotonicClock.nanoseconds &+ BareSMMUWork.nanosecondsAtOnce)
        try work.begin(&budget)
        if work.goOn(&budget) == .done {
            // What was told stays told: nothing may take the reply back.
            if let error = work.failure { return fail(call, error) }
            return answer.now(call)
        }
        let line = BareSMMULine(loop) { [weak self] in if kind == .writing { self?.writers[subject] = nil } }
        if kind == .writing { writers[subject] = line }
        return wait(call, work, in: line, answer)
    }

    private func wait(
        _ call: Call, _ work: BareSMMUWork, in line: BareSMMULine, _ answer: LateReply
    ) -> Outcome {
        let parked = call.park { work.abandon() }
        line.append(work, BareSMMULine.Entry(call: parked, answer: answer))
        return .later(parked)
    }

    private func fail(_ call: Call, _ error: any Error) -> Outcome {
        let parked = call.park {}
        parked.fail(error)
        return .later(parked)
    }

    /// The connection that has called is told in place; other subscribers get copies.
    ///
    /// - Returns: false, and nobody is told, while the connection has no room.
    func tell(
        _ notice: BareSMMUNotice, of subject: BareSMMUSubject, to client: Client, on connection: Connection
    ) -> Bool {
        let subscription = subscription(of: client, on: connection)
        if case .lost(let count) = notice { return subscription.tellLost(count) }
        let event = Event(
            BackendEvent(.vsmmuNotice(vsmmu: subject.vsmmu, notice), context: subject.context), time: Timestamp.now(),
            origin: client.session.origin)
        guard subscription.tell(event) else { return false }
        events.publish(event, besides: client)
        return true
    }

    private func subscription(of client: Client, on connection: Connection) -> Subscription {
        if let subscription = client.subscription ?? client.unasked { return subscription }
        let made = Subscription(kinds: EventKinds([]), sink: ConnectionSink(connection), capacity: 0)
        client.unasked = made
        return made
    }
}
