# What the demo's shell needs. Source it from the repository's top folder.
DEMO_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DEMO_CLI=${DEMO_CLI:-$(PATH=$PATH:$DEMO_ROOT/bin command -v terraform || PATH=$PATH:$DEMO_ROOT/bin command -v tofu)}

# The provider is taken from where `make install` puts it, whatever your own CLI configuration says.
mkdir -p "$DEMO_ROOT/bin"
printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' \
	"$HOME/.terraform.d/plugins" >"$DEMO_ROOT/bin/demo.tfrc"
export TF_CLI_CONFIG_FILE=$DEMO_ROOT/bin/demo.tfrc CHECKPOINT_DISABLE=1

labctl() { "$DEMO_ROOT/bin/labctl" "$@"; }

# demo plan, demo apply, demo etcdctl ...: in the demo's folder and inside of its network.
demo() (
	cd "$DEMO_ROOT/bin/demo" || exit
	case $1 in
	etcdctl)
		labctl exec "$DEMO_ROOT/bin/etcdctl" --cacert=ca.crt --cert=client.crt --key=client.key \
			--endpoints="$("$DEMO_CLI" output -raw endpoints)" "${@:2}"
		;;
	*) labctl exec "$DEMO_CLI" "$@" ;;
	esac
)
