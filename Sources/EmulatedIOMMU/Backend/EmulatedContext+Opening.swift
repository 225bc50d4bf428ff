import Glibc
import IOMMU

/// Looking into processes, and at their address spaces: others do it, and may have to wait.
extension EmulatedContext {
    /// Has somebody look into a process first, who may have to wait for it.
    func open(
        _ process: consuming NamedProcess, _ completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID> {
        let id = backend.makeAccessID()
        // A ticket of its own: nobody else waits for this process.
        let ticket = backend.sva.makeTicket(of: account.uid)
        let memory = backend.sva.memory
        pending.add(id) { error in
            memory.forget(ticket)
            completion(.failure(error))
        }
        do throws(IOMMUError) {
            try memory.open(process, for: ticket) { [weak self] opened in
                guard let self, pending.isPending(id) else { return }
                switch opened {
                case .success(let opened):
                    // Only what lives can be the same.
                    backend.sva.look(at: backend.sva.candidates(for: opened)) { [weak self] in
                        guard let self, pending.isPending(id) else { return }
                        identify(opened, ticket, answers: [:], id, completion)
                    }
                case .failure(let error):
                    pending.finish(id)
                    completion(.failure(error))
                }
            }
        } catch {
            pending.finish(id)
            throw error
        }
        return .pending(id)
    }

    /// Finds out whether an opened process has an address space that is known already, and takes it.
    ///
    /// - Parameter answers: what kcmp(KCMP_VM) has said of the process and others.
    private func identify(
        _ opened: OpenedProcess, _ ticket: ForeignTicket, answers: [Int32: Int32], _ id: AccessID,
        _ completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) {
        let unknown = backend.sva.comparable(with: opened).subtracting(answers.keys).sorted().prefix(
            Self.comparedAtOnce)
        guard let pid = opened.pid, !unknown.isEmpty else {
            pending.finish(id)
            return completion(
                Result { () throws(IOMMUError) in
                    try self.sva.open(opened) { answers[$1] ?? -Glibc.EPERM }
                })
        }
        backend.sva.memory.compare(pid, with: Array(unknown), for: ticket) { [weak self] result in
            guard let self, pending.isPending(id) else { return }
            switch result {
            case .success(let said):
                let answers = answers.merging(zip(unknown, said)) { $1 }
                self.identify(opened, ticket, answers: answers, id, completion)
            case .failure(let error):
                pending.finish(id)
                completion(.failure(error))
            }
        }
    }

    /// Processes that the kernel is asked about in one go.
    private static let comparedAtOnce = 64

    /// Finds out whether an address space still lives.
    package func look(
        at mm: ObjectID, completion: @escaping (Result<Void, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<Void> {
        let space = try sva.handle(mm).space
        let id = backend.makeAccessID()
        pending.add(id) { completion(.failure($0)) }
        var isKnown = false
        var isWaited = false
        backend.sva.look(at: [space]) { [weak self] in
            isKnown = true
            if isWaited, self?.pending.finish(id) == true { completion(.success(())) }
        }
        guard !isKnown else {
            pending.finish(id)
            return .done(())
        }
        isWaited = true
        return .pending(id)
    }
}
