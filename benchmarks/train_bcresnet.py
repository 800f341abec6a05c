"""``speechcls`` with the networks bc-resnet-1, bc-resnet-3 and bc-resnet-8 among its own.

Every command can take them: ``python benchmarks/train_bcresnet.py train DATA --arch bc-resnet-3``.
Data, features, recipe and artifact are as for the networks of the package.
"""

from bcresnet import BCResNet1, BCResNet3, BCResNet8

from speechcls.cli.app import main
from speechcls.networks.zoo import NETWORKS

if __name__ == "__main__":
    NETWORKS["bc-resnet-1"] = BCResNet1
    NETWORKS["bc-resnet-3"] = BCResNet3
    NETWORKS["bc-resnet-8"] = BCResNet8
    main()
