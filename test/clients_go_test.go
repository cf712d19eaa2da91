//go:build clients

package test

// popularModules and popularImports are a module that needs some nine hundred others.
const popularModules = `module app

go 1.26

require (
	github.com/aquasecurity/trivy v0.54.1
	github.com/argoproj/argo-workflows/v3 v3.5.10
	github.com/aws/aws-sdk-go-v2/service/s3 v1.60.0
	github.com/caddyserver/caddy/v2 v2.8.4
	github.com/containerd/containerd v1.7.22
	github.com/docker/docker v27.3.1+incompatible
	github.com/gohugoio/hugo v0.133.0
	github.com/goreleaser/goreleaser/v2 v2.2.0
	github.com/hashicorp/terraform-exec v0.21.0
	github.com/hashicorp/vault/api v1.15.0
	github.com/moby/buildkit v0.15.2
	github.com/nats-io/nats-server/v2 v2.10.18
	github.com/open-policy-agent/opa v0.68.0
	github.com/prometheus/prometheus v0.54.1
	github.com/sigstore/cosign/v2 v2.4.0
	go.opentelemetry.io/collector/otelcol v0.110.0
	google.golang.org/grpc v1.67.0
	helm.sh/helm/v3 v3.16.0
	k8s.io/client-go v0.31.0
)
`

const popularImports = `package main

import (
	_ "github.com/aquasecurity/trivy/pkg/commands"
	_ "github.com/argoproj/argo-workflows/v3/workflow/controller"
	_ "github.com/aws/aws-sdk-go-v2/service/s3"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/containerd/containerd"
	_ "github.com/docker/docker/client"
	_ "github.com/gohugoio/hugo/commands"
	_ "github.com/goreleaser/goreleaser/v2/cmd"
	_ "github.com/hashicorp/terraform-exec/tfexec"
	_ "github.com/hashicorp/vault/api"
	_ "github.com/moby/buildkit/client"
	_ "github.com/nats-io/nats-server/v2/server"
	_ "github.com/open-policy-agent/opa/rego"
	_ "github.com/prometheus/prometheus/promql"
	_ "github.com/sigstore/cosign/v2/pkg/cosign"
	_ "go.opentelemetry.io/collector/otelcol"
	_ "google.golang.org/grpc"
	_ "helm.sh/helm/v3/pkg/action"
	_ "k8s.io/client-go/kubernetes"
)

func main() {}
`
