import IOMMU
import JSONRPC

extension Service {
    /// Has a bare SMMU work off a long command queue in turns of the loop, so that no guest holds up the others, and
    /// answers then. It goes on where the connection ends.
    func consumeCommands(of vsmmu: ObjectID, _ smmus: any BareSMMUs, for call: Call) -> Outcome {
        let parked = call.park {}
        goOn(vsmmu, smmus, parked)
        return .later(parked)
    }

    private func goOn(_ vsmmu: ObjectID, _ smmus: any BareSMMUs, _ parked: ParkedCall) {
        loop.later { [weak self, weak smmus] in
            guard let self, let smmus else {
                parked.fail(IOMMUError.sessionClosed)
                return
            }
            do {
                if try smmus.consumeVSMMUCommands(vsmmu) { return _ = parked.reply() }
                goOn(vsmmu, smmus, parked)
            } catch {
                parked.fail(error)
            }
        }
    }
}
