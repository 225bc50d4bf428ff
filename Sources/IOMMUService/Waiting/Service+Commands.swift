import EmulatedIOMMU
import IOMMU
import JSONRPC

extension Service {
    /// Has a bare SMMU work off a long command queue in turns of the loop, so that no guest holds up the others, and
    /// answers then. It goes on where the connection ends.
    func consumeCommands(of vsmmu: ObjectID, _ context: EmulatedContext, for call: Call) -> Outcome {
        let parked = call.park {}
        goOn(vsmmu, context, parked)
        return .later(parked)
    }

    private func goOn(_ vsmmu: ObjectID, _ context: EmulatedContext, _ parked: ParkedCall) {
        loop.schedule(after: 0) { [weak self, weak context] in
            guard let self, let context else {
                parked.fail(IOMMUError(.ECANCELED, "session_closed", "the session was closed"))
                return
            }
            do {
                if try context.consumeVSMMUCommands(vsmmu) { return _ = parked.reply() }
                goOn(vsmmu, context, parked)
            } catch {
                parked.fail(error)
            }
        }
    }
}
